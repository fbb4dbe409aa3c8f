/* shm_link.h - what the files of the shared-memory link share: the control page that every member
 * shows to the others, and this rank's view of the members.
 *
 * Each word of a control page has one writer, but for `bell` and `sleeping`. */
#ifndef EPX_COMM_LINK_SHM_LINK_H
#define EPX_COMM_LINK_SHM_LINK_H

#include <stdatomic.h>

#include "comm/boot/mesh.h"
#include "comm/link/link.h"

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
               "atomics in shared memory must not need locks");

#define EPX_SHM_LINE 64 /* bytes that move together between cores */
#define EPX_SHM_MAX_PASS 2
#define EPX_SHM_NOTICES 8 /* latest ones kept for slow readers */
#define EPX_SHM_NOTICE_WORDS (sizeof(epx_notice) / sizeof(uint64_t))

/* One notice. Sequence-locked: a reader that finds the same number before and after has read a
 * whole one. */
typedef struct epx_shm_notice {
    _Alignas(EPX_SHM_LINE) _Atomic uint64_t number; /* 1 + the notice's; 0 while it is written */
    _Atomic uint64_t words[EPX_SHM_NOTICE_WORDS];
} epx_shm_notice;

/* The first page of a member, mapped by all. */
typedef struct epx_shm_control {
    _Alignas(EPX_SHM_LINE) _Atomic uint32_t bell;     /* grows with each ring; anyone */
    _Alignas(EPX_SHM_LINE) _Atomic uint32_t sleeping; /* set by the owner, taken by a ringer */
    _Alignas(EPX_SHM_LINE) _Atomic uint64_t told;     /* notices so far; the owner */
    _Atomic uint32_t closing;                         /* what follows is no loss; the owner */
    epx_shm_notice notices[EPX_SHM_NOTICES];          /* the owner */
} epx_shm_control;

typedef struct epx_shm_member {
    int32_t rank;
    int bell_fd;              /* its eventfd; owns, -1: none */
    int socket;               /* of the mesh, while the epoll watches it, else -1; borrows */
    epx_shm_control *control; /* mapped; owns, NULL: none */
    uint64_t heard;           /* notices of its that were heard or missed */
    uint32_t opens;           /* collective opens with it: both sides count alike */
    bool failed;              /* not talked to any more */
    bool lost;                /* ended without farewell */
    bool distrusted;          /* lost because it broke the rules */
    bool lost_told;
} epx_shm_member;

typedef struct epx_shm {
    epx_link base;
    epx_link_ops ops; /* what base points to */
    epx_mesh *mesh;   /* borrows; NULL: a rank alone */
    uint32_t timeout_ms;
    int32_t count;
    int32_t self;        /* own index among the members */
    int32_t *index_of;   /* [highest rank + 1] member of a rank, or -1; owns */
    int epoll_fd;        /* ends of the mesh's sockets; -1: a rank alone */
    uint32_t seen;       /* the bell at the latest progress */
    int64_t owed;        /* writes to the own eventfd that ringers made or will, not yet read */
    uint64_t checked_ns; /* when the sockets were last looked at */
    int *fds;            /* [count * EPX_SHM_MAX_PASS] what pass() took; owns */
    epx_shm_member members[];
} epx_shm;

static inline epx_shm *epx_shm_of(epx_link *link)
{
    return (epx_shm *)link;
}

static inline epx_shm_member *epx_shm_self(epx_shm *shm)
{
    return &shm->members[shm->self];
}

/* The member that is root rank `rank`, or NULL. */
epx_shm_member *epx_shm_find(epx_shm *shm, int32_t rank);
/* Refuses peers that are no members. */
EPX_NODISCARD epx_status epx_shm_check_peers(epx_shm *shm, const int32_t *peers, int32_t count);

/* --- shm_bell.c: who sleeps, and who wakes whom */
void epx_shm_ring_bell(epx_shm_member *member);
bool epx_shm_progress(epx_link *link);
bool epx_shm_arm(epx_link *link);
void epx_shm_woken(epx_link *link);

/* --- shm_notice.c: notices, and the ends of members */
EPX_NODISCARD epx_status epx_shm_watch(epx_shm *shm);
bool epx_shm_hear(epx_link *link, epx_notice *notice_out);
void epx_shm_tell(epx_link *link, const epx_notice *notice);
/* A member that broke the rules of a ring: not talked to any more, heard as LOST. */
void epx_shm_distrust(epx_shm_member *member);

/* --- shm_pass.c: descriptors between the members */
typedef enum epx_shm_subject { EPX_SHM_CONTROL, EPX_SHM_WINDOW, EPX_SHM_PORT } epx_shm_subject;

/* Collective over peers[count] (members): gives mine[num_fds] to each and takes as many from each
 * into shm->fds[count * num_fds], -1 for oneself; the caller closes them. A `st` other than EPX_OK
 * says that this rank has failed already: its peers fail as well, and st is returned. On failure
 * no descriptor is left open. */
EPX_NODISCARD epx_status epx_shm_pass(epx_shm *shm, epx_shm_subject subject, uint32_t id,
                                      const int32_t *peers, int32_t count, const int *mine,
                                      int num_fds, epx_status st);
void epx_shm_close_fds(int *fds, int32_t count);

/* --- shm_window.c, shm_ring.c: the operations of the link's table */
epx_status epx_shm_window_open(epx_link *link, const int32_t *peers, int32_t num_peers,
                               size_t bytes, epx_window **window_out);
void epx_shm_window_close(epx_window *window);

epx_status epx_shm_port_open(epx_link *link, const epx_port_config *cfg, epx_port **port_out);
void epx_shm_port_close(epx_port *port);
void *epx_shm_reserve(epx_port *port, int32_t peer);
epx_status epx_shm_put(epx_port *port, int32_t peer, size_t bytes);
void *epx_shm_peek(epx_port *port, int32_t peer, size_t *bytes_out);
epx_status epx_shm_release(epx_port *port, int32_t peer);
bool epx_shm_drained(const epx_port *port);

#endif /* EPX_COMM_LINK_SHM_LINK_H */
