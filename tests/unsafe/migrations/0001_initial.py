from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = []
    operations = [
        migrations.CreateModel(
            "Zoo",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("name", models.CharField(max_length=50)),
                ("town", models.CharField(max_length=50, unique=True)),
            ],
        ),
        migrations.CreateModel(
            "Keeper",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("zoo", models.ForeignKey("unsafe.Zoo", on_delete=models.CASCADE)),
            ],
            options={"indexes": [models.Index(fields=["zoo", "id"], name="keepers")]},
        ),
    ]
