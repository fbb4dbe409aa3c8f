/* comm.h - communicators: which ranks belong together, and how they find each other.
 *
 * Ownership.  epx_X_create() hands out one object; epx_X_destroy() takes it back and accepts NULL.
 *             Buffers stay the caller's and must outlive the operation that uses them.
 * Threads.    Different communicators may be driven from different threads, one communicator by
 *             one thread at a time. Only epx_comm_abort() and epx_comm_poll() are free.
 * Blocking.   Every wait ends: with the result, with the first fault, or timeout_ms after the last
 *             progress.
 * Errors.     Every fallible call returns epx_status; on failure outputs are untouched. */
#ifndef EPX_COMM_H
#define EPX_COMM_H

#include <stddef.h>
#include <stdint.h>

#include <epx/status.h>

EPX_BEGIN_DECLS

#define EPX_VERSION 100u /* major * 10000 + minor * 100 + patch, of this header */

EPX_API uint32_t epx_version(void); /* the same, of the library loaded at run time */

typedef struct epx_comm epx_comm;

/* ---- A job that forks its own ranks --------------------------------------------------------- */

/* What forked ranks inherit: a listening socket and a job key that never touches disk. */
typedef struct epx_job epx_job;

/* In the parent, before fork(). `interface` is where rank 0 listens, NULL for loopback. */
EPX_NODISCARD EPX_API epx_status epx_job_create(int32_t world_size, const char *interface,
                                                epx_job **job_out);
/* In the parent after the last fork(), and in each child after epx_comm_create(). */
EPX_API void epx_job_destroy(epx_job *job);

/* ---- Communicator --------------------------------------------------------------------------- */

/* Gathers `bytes` bytes of every rank into all[world_size * bytes], in rank order. Returns 0, or
 * non-zero for failure. Called only inside epx_comm_create(), from the calling thread. */
typedef int (*epx_allgather_fn)(void *arg, const void *mine, size_t bytes, void *all);

typedef enum epx_progress {
    EPX_PROGRESS_DEFAULT, /* EPX_PROGRESS, else thread */
    EPX_PROGRESS_THREAD,  /* started operations advance by themselves */
    EPX_PROGRESS_CALLER   /* they advance only inside epx calls; saves a hand-over per step */
} epx_progress;

/* Zero everywhere is the usual: rank and world come from the launcher (torchrun's RANK, WORLD_SIZE
 * and MASTER_ADDR; PMIx; Slurm; Open MPI; none of them: a world of one).
 * world_size > 0 needs one way to meet: `job`, `allgather`, or `address`. */
typedef struct epx_comm_config {
    size_t struct_size;
    int32_t rank;
    int32_t world_size;
    const epx_job *job;         /* from epx_job_create(), inherited by fork; borrowed */
    epx_allgather_fn allgather; /* the caller's own group */
    void *allgather_arg;
    const char *address;   /* "host:port" of rank 0 */
    const char *node;      /* NULL: EPX_NODE, else detected */
    const char *interface; /* NULL: EPX_INTERFACE, else the one that reaches rank 0 */
    uint32_t timeout_ms;   /* 0: EPX_TIMEOUT_MS, else 30000 */
    uint32_t progress;     /* epx_progress; must be equal on all ranks of a process only */
} epx_comm_config;

/* Collective. Succeeds on every rank or on none. cfg may be NULL. */
EPX_NODISCARD EPX_API epx_status epx_comm_create(const epx_comm_config *cfg, epx_comm **comm_out);

/* Local, any thread, async-signal-safe: every wait on comm, on all ranks, returns
 * EPX_ERR_ABORTED. Only epx_comm_destroy() is useful afterwards. */
EPX_API void epx_comm_abort(epx_comm *comm);

/* Local, any thread: EPX_OK, or the first fault comm has seen. */
EPX_NODISCARD EPX_API epx_status epx_comm_poll(epx_comm *comm);

/* Collective while all is well (waits for the others, at most timeout_ms); local after a fault.
 * Exchanges of comm must be destroyed before. Accepts NULL. */
EPX_API void epx_comm_destroy(epx_comm *comm);

/* ---- Who is where --------------------------------------------------------------------------- */

EPX_API int32_t epx_comm_rank(const epx_comm *comm);
EPX_API int32_t epx_comm_size(const epx_comm *comm);
/* Nodes are numbered by their lowest rank. A node: ranks that reach each other by load and store.
 */
EPX_API int32_t epx_comm_num_nodes(const epx_comm *comm);
EPX_API int32_t epx_comm_node_of(const epx_comm *comm, int32_t rank);
/* "shm", "ucx", "sim" or "self": what carries data between two ranks. Static storage. */
EPX_API const char *epx_comm_link_name(const epx_comm *comm, int32_t rank_a, int32_t rank_b);

/* Collective: waits until all ranks of comm have entered. */
EPX_NODISCARD EPX_API epx_status epx_comm_barrier(epx_comm *comm);
/* Collective, for setup and results: gathers `bytes` of each rank into all[size * bytes]. */
EPX_NODISCARD EPX_API epx_status epx_comm_allgather(epx_comm *comm, const void *mine, size_t bytes,
                                                    void *all);

EPX_END_DECLS

#endif /* EPX_COMM_H */
