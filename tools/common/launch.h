/* launch.h - from a command line to ranks with a communicator, and from a status to an exit code.
 *
 * Without a launcher's environment, or with ranks given on the command line, this process forks:
 * exactly `ranks` direct children in rank order; it is no rank itself and ends when all have ended.
 * Else this process is one rank. */
#ifndef TOOLS_COMMON_LAUNCH_H
#define TOOLS_COMMON_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>

#include <epx/comm.h>

/* Exit statuses of every program. */
enum { EXIT_OK = 0, EXIT_WRONG = 1, EXIT_USAGE = 2, EXIT_ENVIRONMENT = 3, EXIT_BROKEN = 4 };

#define LAUNCH_MAX_RANKS 1024

typedef struct launch {
    const char *program; /* how error lines begin */
    uint64_t ranks;      /* to fork, over `nodes` emulated nodes: rank r on r * nodes / ranks */
    uint64_t nodes;
    bool ranks_given; /* on the command line: then they win over the environment */
    epx_progress progress;
    /* How a launched rank gets its communicator; NULL: epx_comm_create(). */
    epx_status (*create)(const epx_comm_config *cfg, epx_comm **comm_out);
    /* What every rank does. Returns an exit status; above EXIT_WRONG the others are told to stop.
     */
    int (*body)(epx_comm *comm, void *arg);
    void *arg;
} launch;

/* The launcher whose environment this is, "torchrun", "openmpi", "slurm" or "pmix", or NULL. */
const char *launch_environment(void);
/* Will launch_run() fork? */
bool launch_forks(const launch *l);

/* The exit status of the whole job: the most telling one of the ranks'. */
int launch_run(const launch *l);

/* Prints "program: rank N: sentence" with epx_last_error(), and returns the exit status. */
int launch_fail(const char *program, const epx_comm *comm, epx_status status);
/* The exit status of a failure; creating: before there was a job that could break. */
int launch_exit_code(epx_status status, bool creating);
/* The one that tells more: usage, environment, broken, wrong, fine. */
int launch_worse(int a, int b);

#endif /* TOOLS_COMMON_LAUNCH_H */
