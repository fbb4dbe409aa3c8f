/* launch.c - forks ranks, or is one. */
#include "common/launch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/alloc.h"

/* ---- Exit statuses --------------------------------------------------------------------------- */

int launch_exit_code(epx_status status, bool creating)
{
    switch (status) {
    case EPX_OK:
        return EXIT_OK;
    case EPX_ERR_INVALID:
    case EPX_ERR_OVERFLOW:
    case EPX_ERR_BAD_ROUTING:
        return EXIT_USAGE;
    case EPX_ERR_NO_MEMORY:
    case EPX_ERR_UNSUPPORTED:
    case EPX_ERR_CAPACITY:
    case EPX_ERR_IO:
        return EXIT_ENVIRONMENT;
    case EPX_ERR_SYSTEM:
    case EPX_ERR_AUTH:
        return creating ? EXIT_ENVIRONMENT : EXIT_BROKEN;
    default:
        return EXIT_BROKEN;
    }
}

int launch_worse(int a, int b)
{
    static const int order[] = {EXIT_USAGE, EXIT_ENVIRONMENT, EXIT_BROKEN, EXIT_WRONG};
    size_t i;

    for (i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        if (a == order[i] || b == order[i])
            return order[i];
    return a != EXIT_OK ? a : b;
}

static int say_failure(const char *program, int32_t rank, epx_status status, bool creating)
{
    if (rank < 0)
        fprintf(stderr, "%s: %s (%s)\n", program, epx_last_error(), epx_status_name(status));
    else
        fprintf(stderr, "%s: rank %d: %s (%s)\n", program, rank, epx_last_error(),
                epx_status_name(status));
    return launch_exit_code(status, creating);
}

int launch_fail(const char *program, const epx_comm *comm, epx_status status)
{
    return say_failure(program, epx_comm_rank(comm), status, false);
}

/* ---- The environment ------------------------------------------------------------------------- */

static bool is_set(const char *name)
{
    const char *text = getenv(name);

    return text != NULL && *text != '\0';
}

const char *launch_environment(void)
{
    if (is_set("RANK") && is_set("WORLD_SIZE") && is_set("MASTER_ADDR"))
        return "torchrun";
    if (is_set("OMPI_COMM_WORLD_RANK") && is_set("OMPI_COMM_WORLD_SIZE"))
        return "openmpi";
    /* An allocation's shell has the counts too, but only a step's tasks have both of these. */
    if (is_set("SLURM_PROCID") && is_set("SLURM_STEP_NODELIST"))
        return "slurm";
    return is_set("PMIX_RANK") && is_set("PMIX_NAMESPACE") ? "pmix" : NULL;
}

/* The rank that the launcher gave, for errors before there is a communicator; -1: none. */
static int32_t environment_rank(void)
{
    static const char *const names[] = {"RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID",
                                        "PMIX_RANK"};
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]) && launch_environment() != NULL; i++) {
        const char *text = getenv(names[i]);

        if (text != NULL && *text != '\0')
            return (int32_t)strtol(text, NULL, 10);
    }
    return -1;
}

/* ---- One rank -------------------------------------------------------------------------------- */

static int run_rank(const launch *l, const epx_comm_config *cfg, epx_job *job)
{
    int32_t rank = cfg->world_size > 0 ? cfg->rank : environment_rank();
    epx_comm *comm = NULL;
    epx_status st;
    int code;

    st = l->create != NULL && job == NULL ? l->create(cfg, &comm) : epx_comm_create(cfg, &comm);
    epx_job_destroy(job);
    if (st != EPX_OK)
        return say_failure(l->program, rank, st, true);
    code = l->body(comm, l->arg);
    if (code > EXIT_WRONG)
        epx_comm_abort(comm);
    epx_comm_destroy(comm);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "%s: stdout: %s\n", l->program, strerror(errno));
        code = launch_worse(code, EXIT_ENVIRONMENT);
    }
    return code;
}

bool launch_forks(const launch *l)
{
    return l->ranks_given || launch_environment() == NULL;
}

/* ---- Forked ranks ---------------------------------------------------------------------------- */

static int run_child(const launch *l, int32_t rank, epx_job *job, pid_t parent)
{
    epx_comm_config cfg = {.struct_size = sizeof(cfg)};
    char node[32];

    /* A launcher that is killed takes its ranks along. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        return EXIT_BROKEN;
    snprintf(node, sizeof(node), "node%llu",
             (unsigned long long)((uint64_t)rank * l->nodes / l->ranks));
    cfg.rank = rank;
    cfg.world_size = (int32_t)l->ranks;
    cfg.job = job;
    cfg.node = node;
    cfg.progress = l->progress;
    return run_rank(l, &cfg, job);
}

/* Returns how many could be started. */
static int32_t start_children(const launch *l, epx_job *job, pid_t *pids)
{
    pid_t parent = getpid();
    int32_t rank;

    fflush(stdout);
    fflush(stderr);
    for (rank = 0; rank < (int32_t)l->ranks; rank++) {
        pids[rank] = fork();
        if (pids[rank] == 0) {
            free(pids);
            exit(run_child(l, rank, job, parent));
        }
        if (pids[rank] < 0)
            return rank;
    }
    return rank;
}

static int child_code(const launch *l, int32_t rank, int status)
{
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    fprintf(stderr, "%s: rank %d was ended by signal %d (%s)\n", l->program, rank, WTERMSIG(status),
            strsignal(WTERMSIG(status)));
    return EXIT_BROKEN;
}

/* Collects children in whatever order they end. */
static int wait_children(const launch *l, const pid_t *pids, int32_t count)
{
    int32_t left = count, rank;
    int worst = EXIT_OK, status;

    while (left > 0) {
        pid_t pid = waitpid(-1, &status, 0);

        if (pid < 0 && errno == EINTR)
            continue;
        if (pid < 0)
            return launch_worse(worst, EXIT_BROKEN);
        for (rank = 0; rank < count && pids[rank] != pid; rank++)
            continue;
        if (rank == count)
            continue;
        worst = launch_worse(worst, child_code(l, rank, status));
        left--;
    }
    return worst;
}

static int run_forked(const launch *l)
{
    pid_t *pids;
    epx_job *job = NULL;
    epx_status st;
    int32_t started, rank;
    int code;

    st = epx_job_create((int32_t)l->ranks, NULL, &job);
    if (st != EPX_OK)
        return say_failure(l->program, -1, st, true);
    pids = tool_alloc("ranks", l->ranks, sizeof(*pids));
    started = start_children(l, job, pids);
    epx_job_destroy(job);
    if (started < (int32_t)l->ranks) {
        fprintf(stderr, "%s: rank %d cannot be started: %s\n", l->program, started,
                strerror(errno));
        for (rank = 0; rank < started; rank++)
            kill(pids[rank], SIGKILL);
        wait_children(l, pids, started);
        free(pids);
        return EXIT_ENVIRONMENT;
    }
    code = wait_children(l, pids, started);
    free(pids);
    return code;
}

int launch_run(const launch *l)
{
    epx_comm_config cfg = {.struct_size = sizeof(cfg), .progress = l->progress};

    if (launch_forks(l))
        return run_forked(l);
    return run_rank(l, &cfg, NULL);
}
