from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("unsafe", "0001_initial")]
    operations = [
        migrations.AddField("zoo", "area", models.IntegerField(null=True)),
        migrations.AddField("zoo", "fence", models.IntegerField(db_default=0)),
    ]
