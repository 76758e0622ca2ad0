from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("memory", "0007_blocks_by_change"),
    ]

    operations = [
        migrations.AlterField(
            model_name="blockversion",
            name="actor_kind",
            field=models.CharField(
                choices=[
                    ("local", "Local"),
                    ("user", "User"),
                    ("api_key", "Api Key"),
                    ("agent", "Agent"),
                    ("system", "System"),
                    ("import", "Import"),
                    ("unknown", "Unknown"),
                ],
                max_length=16,
            ),
        ),
    ]
