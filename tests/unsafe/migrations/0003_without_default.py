from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("unsafe", "0002_safe")]
    operations = [
        migrations.AddField("zoo", "motto", models.CharField(max_length=50, default="")),
    ]
