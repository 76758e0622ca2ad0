from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0016_run_filters'),
    ]

    operations = [
        migrations.AddField(
            model_name='step',
            name='segments',
            field=models.JSONField(null=True),
        ),
    ]
