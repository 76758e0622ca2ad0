from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0017_run_filters'),
    ]

    operations = [
        migrations.AddField(
            model_name='step',
            name='segments',
            field=models.JSONField(null=True),
        ),
    ]
