"""Another app's rows live in a database of their own."""


class Annex:
    def db_for_read(self, model, **hints):
        return "annex" if model._meta.app_label == "annex" else None

    db_for_write = db_for_read

    def allow_migrate(self, db, app_label, **hints):
        return (db == "annex") == (app_label == "annex")
