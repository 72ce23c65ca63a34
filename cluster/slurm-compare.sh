#!/bin/bash
# A comparison as an array of Slurm tasks, a part each:
#
#     sbatch cluster/slurm-compare.sh
#
# Numbers to change. The array has the parts that `sdas compare … --list` prints, from 0: methods × seeds. After % stands
# how many run at a time.
#SBATCH --array=0-14%8
#SBATCH --cpus-per-task=8
# With one # this would ask for a graphics card each.
##SBATCH --gpus-per-task=1
#SBATCH --mem=8G
#SBATCH --time=04:00:00
# Two minutes before the time is up, a checkpoint is asked for; a step has to be done by then.
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --job-name=sdas-compare
#SBATCH --output=%x-%A_%a.txt

sdas="${SDAS:-sdas}"
recipe="${RECIPE:-shapes}"
# On a file system that all nodes share.
out="${OUT:-runs/compare-shapes}"
methods="${METHODS:-sdas,das,random}"
seeds="${SEEDS:-5}"
# As in (--data /data/cifar-10-batches-bin --set train.epochs=100).
read -ra more <<<"${MORE:-}"

# From here on nothing has to be changed. Signals are for the step: the script waits for it, whatever happens.
trap : TERM USR1
export RAYON_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"
srun --ntasks=1 "$sdas" compare "$recipe" --methods "$methods" --seeds "$seeds" --out "$out" "${more[@]}" --part auto
status=$?
# It was stopped after a checkpoint: the same task begins again, and goes on.
if [ "$status" -eq 130 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
