from django.db import migrations, models
import django.db.models.deletion


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0018_step_segments'),
    ]

    operations = [
        migrations.AddField(
            model_name='step',
            name='conversation',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='steps', to='agents.conversation'),
        ),
        migrations.AddField(
            model_name='step',
            name='place',
            field=models.PositiveIntegerField(null=True),
        ),
    ]
