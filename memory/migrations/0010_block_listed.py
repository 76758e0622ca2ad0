from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('memory', '0009_proposals_by_import'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='block',
            index=models.Index(condition=models.Q(('hidden', None), ('hidden', False), _connector='OR'), fields=['workspace'], name='block_listed'),
        ),
    ]
