/* boot.h - how the ranks of one communicator meet, agree at set-up, and hear about faults.
 *
 * A star: every rank keeps one authenticated connection to rank 0, from create to destroy. It
 * carries gathers (collective, small, at set-up) and notices (a rank was lost, aborts, is waiting).
 * The end of a connection without a farewell means that the rank at its other end is lost.
 *
 * Nothing here blocks once a boot is open: step() moves bytes, the caller waits on fd(). */
#ifndef EPX_COMM_BOOT_BOOT_H
#define EPX_COMM_BOOT_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <epx/comm.h>

#include "core/fail.h"

#define EPX_KEY_BYTES 32

typedef enum epx_notice_kind {
    EPX_NOTICE_LOST = 1, /* `rank` died or became unreachable */
    EPX_NOTICE_ABORT,    /* `from` gave up with `status`, `rank` is the culprit or -1 */
    EPX_NOTICE_WAITING,  /* `from` ran into its deadline while waiting for `rank` */
    EPX_NOTICE_VERDICT   /* rank 0: after all WAITING, the culprit is `rank` */
} epx_notice_kind;

/* Fixed size, the same on every transport. Ranks are those of the boot that carries it. */
typedef struct epx_notice {
    uint32_t kind; /* epx_notice_kind */
    int32_t from;
    int32_t rank;
    int32_t status; /* epx_status */
    char text[176]; /* one sentence, NUL-terminated */
} epx_notice;

typedef struct epx_boot epx_boot;

typedef struct epx_boot_ops {
    /* Collective. `mine` and `all` stay borrowed until gather_done(). One gather at a time. */
    epx_status (*gather_start)(epx_boot *boot, const void *mine, size_t bytes, void *all);
    /* True when the gather is over; *status_out tells how. */
    bool (*gather_done)(epx_boot *boot, epx_status *status_out);
    /* Gives up a gather that takes longer than timeout_ms: `mine` and `all` are used no more, and
     * gather_done() is true within 200 ms of steps, naming who did not come. No boot gathers again
     * after a failed gather. NULL: not offered. */
    void (*gather_cancel)(epx_boot *boot, uint32_t timeout_ms);
    /* Moves bytes without blocking; true if anything happened. */
    bool (*step)(epx_boot *boot);
    /* Next notice heard, true if there was one. Also reports ends of connections as LOST. */
    bool (*hear)(epx_boot *boot, epx_notice *notice_out);
    /* To every other rank, best effort, without blocking. */
    void (*tell)(epx_boot *boot, const epx_notice *notice);
    /* Blocks until step() may have something to do, at most until the monotonic `until_ns`. */
    void (*wait)(epx_boot *boot, uint64_t until_ns);
    /* Farewell (when graceful), then close and free. */
    void (*close)(epx_boot *boot, bool graceful);
} epx_boot_ops;

struct epx_boot {
    const epx_boot_ops *ops;
    int32_t rank;
    int32_t size;
    int fd;                     /* becomes readable when step() has something to do; -1: none */
    bool keyed;                 /* the job has a key */
    uint8_t key[EPX_KEY_BYTES]; /* or an unkeyed cookie; what boot/mesh.h authenticates with */
    char address[64];           /* IP address of the interface that this rank uses */
    char interface[64];         /* its name, "" when unknown */
    char launcher[32];          /* "fork", "torchrun", "slurm", "pmix", "openmpi", ... for logs */
};

/* Opens the star by cfg (already read by epx_struct_read and filled from EPX_*): finds the
 * launcher, the address, the key; connects; authenticates. Collective, bounded by timeout_ms. */
EPX_NODISCARD epx_status epx_boot_open(const epx_comm_config *cfg, epx_boot **boot_out);

/* Opens the star of a sub-group: members[size] are ranks of parent, rank is this one's index.
 * `gather` is called once, on all ranks of the parent, with the parent's gather semantics, so ranks
 * without a group (size 0, *boot_out NULL) call this as well. */
EPX_NODISCARD epx_status epx_boot_open_group(epx_boot *parent, epx_allgather_fn gather, void *arg,
                                             const int32_t *members, int32_t size, int32_t rank,
                                             uint32_t timeout_ms, epx_boot **boot_out);

/* gather_start, then step and wait until done or timeout_ms: for set-up, before a driver exists. */
EPX_NODISCARD epx_status epx_boot_allgather(epx_boot *boot, const void *mine, size_t bytes,
                                            void *all, uint32_t timeout_ms);

static inline void epx_boot_close(epx_boot *boot, bool graceful)
{
    if (boot != NULL)
        boot->ops->close(boot, graceful);
}

#endif /* EPX_COMM_BOOT_BOOT_H */
