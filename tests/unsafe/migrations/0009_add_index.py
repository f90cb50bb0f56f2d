from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("unsafe", "0008_add_unique")]
    operations = [
        migrations.AddIndex("zoo", models.Index(fields=["town", "id"], name="towns")),
    ]
