from django.db import migrations, models
import django.db.models.deletion


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0020_step_place_of_old'),
    ]

    operations = [
        migrations.AlterField(
            model_name='step',
            name='conversation',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='steps', to='agents.conversation'),
        ),
        migrations.AlterField(
            model_name='step',
            name='place',
            field=models.PositiveIntegerField(),
        ),
        migrations.AddIndex(
            model_name='step',
            index=models.Index(fields=['conversation', 'place'], name='step_by_place'),
        ),
    ]
