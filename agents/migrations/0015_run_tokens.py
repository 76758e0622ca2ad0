from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0014_pinned_versions'),
    ]

    operations = [
        migrations.AddField(
            model_name='run',
            name='total_tokens',
            field=models.BigIntegerField(null=True),
        ),
    ]
