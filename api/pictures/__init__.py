"""Pictures: what is published of them are renditions, which a child process makes."""
