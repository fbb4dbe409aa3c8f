/* root.h - what a communicator and all that is split from it share: transports, the engine's turn,
 * the first fault.
 *
 * Everything that advances is a `work`: a state machine without threads, sleep or clock of its own.
 * One driver at a time steps all works: a caller blocked in a finish, else the progress thread.
 * All fields are guarded by `lock` unless they say otherwise; the lock is free while the driver
 * sleeps. */
#ifndef EPX_COMM_ROOT_H
#define EPX_COMM_ROOT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <epx/comm.h>

#include "comm/boot/boot.h"
#include "comm/boot/mesh.h"
#include "comm/link/link.h"
#include "comm/sim/world.h"
#include "comm/topo/grid.h"
#include "core/record.h"

typedef struct epx_root epx_root;
typedef struct epx_work epx_work;

/* Whom and what a work waits for: what errors name. Ranks are root ranks. */
typedef struct epx_waiting {
    int32_t rank;   /* -1: nobody in particular */
    char what[120]; /* "dispatch 71: counts" */
} epx_waiting;

struct epx_work {
    /* Moves on; true if anything happened. Never blocks. */
    bool (*step)(epx_work *work, uint64_t now);
    void (*waiting)(const epx_work *work, epx_waiting *out);
    uint64_t deadline; /* no progress until then: TIMEOUT. The work moves it on as it advances */
    epx_work *next;
    bool active;
};

/* The first thing that broke. status EPX_OK: nothing yet. */
typedef struct epx_fault {
    epx_status status;
    int32_t rank; /* culprit, root rank or -1 */
    char text[400];
} epx_fault;

struct epx_root {
    int32_t rank, size;
    epx_world *world; /* NULL unless simulated; borrowed */
    epx_mesh *mesh;   /* owns, as all below */
    epx_link *near;   /* ranks of the own node, the own rank included */
    epx_link *far;    /* all others; NULL when there are none */
    epx_grid grid;
    epx_record record;
    struct epx_comm *comms; /* list; their boots are stepped here */
    uint32_t timeout_ms;
    uint32_t spin;    /* turns without work before sleeping */
    bool yield;       /* more ranks than cores: yield after each unit of work */
    bool closing;     /* ends of connections are no losses any more */
    uint32_t next_id; /* port ids of exchanges */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* broadcast after progress while others wait */
    atomic_int wanted;      /* threads on their way to the lock: any thread */
    int32_t waiters;        /* threads in `changed` */
    int32_t callers;        /* blocked callers: the progress thread leaves the turn to them */
    bool driving;           /* somebody has the turn */
    bool asleep;            /* ... and sleeps in epoll, without the lock */
    uint64_t turn;          /* grows when the turn is taken */
    epx_work *works;        /* active ones */
    epx_fault fault;
    atomic_int fault_status; /* copy of fault.status: any thread */
    atomic_bool abort_asked; /* by epx_comm_abort: any thread */

    int epoll_fd, wake_fd; /* -1 when simulated */
    uint64_t next_housekeeping;
    uint64_t idle; /* turns without work */

    uint64_t verdict_at; /* a deadline has passed: then the culprit is named; EPX_NEVER */
    epx_waiting overdue; /* what this rank waited for */
    int32_t *waits_for;  /* [size] what others said; -1: nothing */

    bool has_thread, stop_thread;
    pthread_t thread;
};

uint64_t epx_root_now(const epx_root *root);

/* Takes the lock ahead of a spinning driver; leaves it. */
void epx_root_enter(epx_root *root);
void epx_root_leave(epx_root *root);

/* With the lock: work becomes active / inactive. Waking lets the progress thread take it up. */
void epx_root_add(epx_root *root, epx_work *work);
void epx_root_remove(epx_root *root, epx_work *work);
void epx_root_wake(epx_root *root);

/* With the lock: drives, or waits while another thread drives, until done(arg), the first fault,
 * or the deadline of a work. Returns the fault's status through epx_fail. */
EPX_NODISCARD epx_status epx_root_drive(epx_root *root, bool (*done)(void *arg), void *arg);

/* With the lock: one turn over links, boots and works; true if anything moved. */
bool epx_root_step(epx_root *root, uint64_t now);

/* The progress thread. */
EPX_NODISCARD epx_status epx_root_start_thread(epx_root *root);
void epx_root_stop_thread(epx_root *root);

/* ---- faults (fault.c), with the lock */

/* Records the first fault and tells all ranks. rank: culprit's root rank or -1. */
void epx_root_fail(epx_root *root, epx_status status, int32_t rank, const char *format, ...)
    EPX_PRINTF(4, 5);
/* Reports the fault to the caller: epx_fail with its sentence. EPX_OK when there is none. */
EPX_NODISCARD epx_status epx_root_fault(const epx_root *root);
/* A notice heard; its ranks are root ranks. */
void epx_root_notice(epx_root *root, const epx_notice *notice);
/* Deadlines of works, requests to abort, the verdict. */
void epx_root_check(epx_root *root, uint64_t now);

#endif /* EPX_COMM_ROOT_H */
