"""What people import: the client, its jobs, and the door that finds or starts the controller's process."""
