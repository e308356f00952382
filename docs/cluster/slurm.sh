#!/bin/sh
# A worker of a Slurm job, one on each node: see docs/cluster.md.
#   sbatch --nodes=2 --ntasks-per-node=1 --cpus-per-task=8 --wrap='srun docs/cluster/slurm.sh'
hosts=$(scontrol show hostnames "$SLURM_STEP_NODELIST" | sed 's/.*/"&:2222"/' | paste -s -d , -)
export TF_CONFIG='{"cluster": {"worker": ['$hosts']}, "task": {"type": "worker", "index": '$SLURM_NODEID'}}'
if [ -e runs/mnist/config.json ]; then
  exec keras-vae train --resume --output runs/mnist --strategy multiworker --log-format json
else
  exec keras-vae train --data mnist --epochs 20 --batch-size 1024 --output runs/mnist --strategy multiworker --log-format json
fi
