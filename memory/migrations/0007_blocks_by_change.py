from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("memory", "0006_block_proposals"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="block",
            index=models.Index(fields=["workspace", "updated_at", "id"], name="block_by_change"),
        ),
    ]
