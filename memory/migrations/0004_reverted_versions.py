from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('memory', '0003_block_checkpoint'),
    ]

    operations = [
        migrations.AddField(
            model_name='blockversion',
            name='reverted',
            field=models.JSONField(null=True),
        ),
        migrations.AlterField(
            model_name='blockversion',
            name='act',
            field=models.CharField(choices=[('write', 'Write'), ('restore', 'Restore'), ('undo', 'Undo'), ('redo', 'Redo'), ('revert', 'Revert')], default='write', max_length=16),
        ),
    ]
