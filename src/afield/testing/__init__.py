"""The sandbox that ships to users: real sshd hosts and private folders, gone when the block ends."""
