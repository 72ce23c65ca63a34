#!/bin/bash
# One search over several nodes, by MPI, that is begun again as often as it takes:
#
#     sbatch cluster/slurm-mpi.sh
#
# Numbers to change. Every task is a rank, with a share of each batch; one a graphics card, or one a node.
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=8
# With one # this would ask for a graphics card each.
##SBATCH --gpus-per-task=1
#SBATCH --mem=32G
#SBATCH --time=24:00:00
# Five minutes before the time is up, a checkpoint is asked for; a step has to be done by then.
#SBATCH --signal=USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --job-name=sdas-mpi
#SBATCH --output=%x-%j.txt

# A program that was built with `--features mpi`.
sdas="${SDAS:-sdas}"
recipe="${RECIPE:-cifar10}"
# On a file system that all nodes share.
out="${OUT:-runs/cifar10-mpi}"
# As in (--data /data/cifar-10-batches-bin --set search.batch=512).
read -ra more <<<"${MORE:-}"
# How the ranks find each other: what `srun --mpi=list` has for the MPI that the program was built with.
mpi="${MPI:-pmix}"

# From here on nothing has to be changed. Signals are for the step: the script waits for it, whatever happens.
trap : TERM USR1
export RAYON_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"
# A rank that has left with 130 must not end the others, which are leaving, too.
srun --mpi="$mpi" --kill-on-bad-exit=0 "$sdas" search "$recipe" --out "$out" "${more[@]}"
status=$?
# It was stopped after a checkpoint: the same job begins again, and goes on.
if [ "$status" -eq 130 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
