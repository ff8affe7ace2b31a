"""The trainer: reads an order and data, trains, and reports. Knows neither the database nor the broker."""
