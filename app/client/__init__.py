"""A client of the HTTP API: `app.client.client.Client`, and the commands of `trainyard` that use it."""
