"""Where files are stored: an app for any Django project, independent of the API."""
