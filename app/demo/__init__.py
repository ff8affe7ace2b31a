"""What `trainyard demo` shows, and the data it shows it with."""
