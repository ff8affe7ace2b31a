"""Job kinds, queues and owners; which models a job reads; the intake report."""

import sqlalchemy as sa
from alembic import op

from app.db.tables import Json

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('job_models',
    sa.Column('job_id', sa.String(length=40), nullable=False),
    sa.Column('role', sa.String(length=16), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('version', sa.BigInteger(), nullable=False),
    sa.Column('project', sa.String(length=64), server_default='default', nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job_id', 'role')
    )
    with op.batch_alter_table('job_models', schema=None) as batch_op:
        batch_op.create_index('ix_job_models_version', ['project', 'name', 'version'], unique=False)

    with op.batch_alter_table('jobs', schema=None) as batch_op:
        batch_op.add_column(sa.Column('owner', sa.String(length=128), server_default='', nullable=False))
        batch_op.add_column(sa.Column('queue', sa.String(length=32), server_default='default', nullable=False))
        batch_op.add_column(sa.Column('expected_seconds', sa.Double(), nullable=True))
        batch_op.add_column(sa.Column('result', Json, nullable=True))
        batch_op.alter_column('recipe',
               existing_type=sa.VARCHAR(length=64),
               nullable=True)
        batch_op.create_index('ix_jobs_fair', ['state', 'queue', 'priority', 'project', 'owner', 'id', 'run_after'], unique=False)
        batch_op.create_index('ix_jobs_finished', ['state', 'finished_at'], unique=False)

    op.create_table('owner_use',
    sa.Column('project', sa.String(length=64), server_default='default', nullable=False),
    sa.Column('owner', sa.String(length=128), nullable=False),
    sa.Column('level', sa.Double(), nullable=False),
    sa.PrimaryKeyConstraint('project', 'owner')
    )

    with op.batch_alter_table('model_versions', schema=None) as batch_op:
        batch_op.add_column(sa.Column('intake', Json, nullable=True))

    with op.batch_alter_table('workers', schema=None) as batch_op:
        batch_op.add_column(sa.Column('queues', Json, nullable=True))



def downgrade() -> None:
    with op.batch_alter_table('workers', schema=None) as batch_op:
        batch_op.drop_column('queues')

    with op.batch_alter_table('model_versions', schema=None) as batch_op:
        batch_op.drop_column('intake')

    op.drop_table('owner_use')
    op.execute("UPDATE jobs SET recipe = '' WHERE recipe IS NULL")
    with op.batch_alter_table('jobs', schema=None) as batch_op:
        batch_op.drop_index('ix_jobs_finished')
        batch_op.drop_index('ix_jobs_fair')
        batch_op.alter_column('recipe',
               existing_type=sa.VARCHAR(length=64),
               nullable=False)
        batch_op.drop_column('result')
        batch_op.drop_column('expected_seconds')
        batch_op.drop_column('queue')
        batch_op.drop_column('owner')

    with op.batch_alter_table('job_models', schema=None) as batch_op:
        batch_op.drop_index('ix_job_models_version')

    op.drop_table('job_models')
