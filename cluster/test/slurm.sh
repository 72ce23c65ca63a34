#!/usr/bin/env bash
# Slurm on this machine alone, on loopback: submits the array of a comparison and a search that is stopped twice, and
# checks what comes out. As root, for slurmd is: cluster/test/slurm.sh [PROGRAM]
#
# A program built with MPI, and MPI=pmix RANKS=2, try the search on ranks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
program="$(realpath "${1:-target/release/sdas}")"
mpi="${MPI:-none}" ranks="${RANKS:-1}"
command -v slurmctld >/dev/null && command -v slurmd >/dev/null || .ci/install slurm-wlm

scratch="$(mktemp -d)"
daemons=()
leave() {
    status=$?
    [ "$status" -eq 0 ] || tail -n 20 "$scratch"/*.log "$scratch"/*.txt >&2 || true
    [ "${#daemons[@]}" -eq 0 ] || kill "${daemons[@]}" 2>/dev/null || true
    wait
    rm -rf "$scratch"
    exit "$status"
}
trap leave EXIT

# Without munge and systemd; a job that was requeued need not wait for its old credential to expire.
host="$(hostname -s)"
cpus="$(nproc)"
export SLURM_CONF="$scratch/slurm.conf"
cat >"$SLURM_CONF" <<END
ClusterName=loop
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
AuthInfo=cred_expire=6
CredType=cred/none
StateSaveLocation=$scratch/state
SlurmdSpoolDir=$scratch/spool
SlurmctldPidFile=$scratch/slurmctld.pid
SlurmdPidFile=$scratch/slurmd.pid
SlurmctldPort=16817
SlurmdPort=16818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
KillWait=20
JobRequeue=1
SchedulerParameters=sched_interval=1,bf_interval=1,requeue_delay=0
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=4096 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
# In sessions of their own: what Slurm ends of a job's is its whole group of processes.
mkdir "$scratch/state" "$scratch/spool"
setsid slurmctld -D -c >"$scratch/slurmctld.log" 2>&1 &
daemons+=($!)
setsid slurmd -D -c >"$scratch/slurmd.log" 2>&1 &
daemons+=($!)

# wait_for SECONDS COMMAND…
wait_for() {
    local until=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$until" ] || { echo "not within its time: $*" >&2; scontrol show job >&2; return 1; }
        sleep 0.2
    done
}
is_idle() { sinfo --noheader --format=%T | grep -qx idle; }
wait_for 30 is_idle

export SDAS="$program" RECIPE=shapes
small="--set data.size=16 --set data.shapes.test=30 --set search.cells=3 --set search.alpha_warmup=0 --set train.epochs=1
    --set train.channels=2 --set train.cells=3 --set train.batch=10"
small="${small//$'\n'/ }"
sizes=(--mem=1G --time=5 --output="$scratch/%x-%j.txt")

echo "== an array of four parts"
comparison="$scratch/comparison"
settings="$small --set data.shapes.train=80 --set search.epochs=2 --set search.channels=2 --set search.batch=10"
OUT="$comparison" METHODS=das,random SEEDS=2 MORE="$settings" \
    sbatch --wait --array=0-3%2 --cpus-per-task=1 "${sizes[@]}" cluster/slurm-compare.sh
read -ra words <<<"$settings"
"$program" compare shapes --methods das,random --seeds 2 --out "$comparison" "${words[@]}" --list | tee "$scratch/list"
[ "$(grep -c ' done$' "$scratch/list")" -eq 4 ]
python3 - "$comparison/compare.json" <<'END'
import json, sys
runs = [(run["method"], run["seed"]) for run in json.load(open(sys.argv[1]))["runs"]]
assert runs == [("das", 1), ("das", 2), ("random", 1), ("random", 2)], runs
END

echo "== a search that is stopped by a signal of its scheduler, and then requeued"
settings="$small --set data.shapes.train=800 --set search.epochs=2 --set search.channels=1 --set search.batch=4
    --set search.schedule.start=0.05"
settings="${settings//$'\n'/ }"
read -ra words <<<"$settings"
whole="$scratch/whole" stopped="$scratch/stopped"
if [ "$ranks" -eq 1 ]; then
    "$program" search shapes --out "$whole" "${words[@]}" >/dev/null 2>&1
else
    srun --mpi="$mpi" --ntasks="$ranks" "$program" search shapes --out "$whole" "${words[@]}" >/dev/null 2>&1
fi
job="$(OUT="$stopped" MORE="$settings" MPI="$mpi" sbatch --parsable --nodes=1 --ntasks-per-node="$ranks" \
    --cpus-per-task=1 "${sizes[@]}" cluster/slurm-mpi.sh)"
has() { [ -s "$stopped/$1" ]; }
checkpoints() { compgen -G "$stopped/checkpoints/*.safetensors"; }
runs_again() { scontrol show job "$job" | tr '\n' ' ' | grep -q "JobState=RUNNING .*Restarts=$1 "; }
is_over() { scontrol show job "$job" | grep -Eq 'JobState=(COMPLETED|FAILED|CANCELLED|TIMEOUT)'; }
wait_for 60 has decisions.jsonl
# What --signal=USR1@120 sends.
scancel --signal=USR1 "$job"
wait_for 60 checkpoints
wait_for 60 runs_again 1
first="$(checkpoints)"
# As where a more urgent job takes the node: the step gets SIGTERM.
another() { [ "$(wc -l <"$stopped/decisions.jsonl")" -gt "$1" ]; }
wait_for 60 another "$(wc -l <"$stopped/decisions.jsonl")"
scontrol requeue "$job"
wait_for 60 is_over
scontrol show job "$job" | grep -E 'JobState|Restarts|ExitCode'
scontrol show job "$job" | grep -q 'JobState=COMPLETED '
scontrol show job "$job" | grep -q 'Restarts=2 '
grep -v '^epoch' "$scratch/sdas-mpi-$job.txt"
echo "the first checkpoint was ${first##*/}"
for file in decisions.jsonl cells.jsonl genotype.json; do
    cmp "$whole/$file" "$stopped/$file"
done
echo "== as expected"
