"""Where files are stored: an app for any Django project, which does not know the API."""
