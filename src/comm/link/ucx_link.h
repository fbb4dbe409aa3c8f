/* ucx_link.h - what the parts of the UCX link share.
 *
 * UCX calls back only from inside progress and from calls that we make. A callback only notes what
 * happened; endpoints are closed, messages sent and memory freed from outside of callbacks. Memory
 * that UCX may still read or write is never freed: a port with requests under way is parked until
 * they are over, at the latest until the worker is gone. */
#ifndef EPX_COMM_LINK_UCX_LINK_H
#define EPX_COMM_LINK_UCX_LINK_H

#include "comm/link/link.h"
#include "comm/link/ucx_api.h"

#define EPX_UCX_MAX_RANKS (1 << 20)        /* what the tag has room for */
#define EPX_UCX_EAGER_PEERS 64             /* larger ports make endpoints on first use */
#define EPX_UCX_MAX_HEARD 32               /* notices that wait to be heard */
#define EPX_UCX_MAX_TOLD 8                 /* notices under way */
#define EPX_UCX_MAGIC UINT32_C(0x31787065) /* "epx1" */

typedef struct epx_ucx_link epx_ucx_link;
typedef struct epx_ucx_port epx_ucx_port;
typedef struct epx_ucx_ring epx_ucx_ring;

typedef enum epx_ucx_kind {
    EPX_UCX_HELLO = 1, /* `source` has an endpoint to us */
    EPX_UCX_CREDIT,    /* `source` has released `count` chunks of `port` since it was opened */
    EPX_UCX_NOTICE,    /* an epx_notice follows as data */
    EPX_UCX_FAREWELL   /* `source` closes its link: its end is no loss */
} epx_ucx_kind;

/* Header of an active message. */
typedef struct epx_ucx_header {
    uint32_t magic;
    uint32_t kind;  /* epx_ucx_kind */
    int32_t source; /* root rank */
    uint32_t port;
    uint64_t count;
} epx_ucx_header;

typedef enum epx_ucx_state {
    EPX_UCX_FAR,    /* no endpoint yet */
    EPX_UCX_OPEN,   /* has an endpoint */
    EPX_UCX_BROKEN, /* its endpoint, if any, has failed and is still to be closed */
    EPX_UCX_GONE    /* not spoken to any more */
} epx_ucx_state;

/* Another rank, or this one. */
typedef struct epx_ucx_peer {
    epx_ucx_link *link;
    ucp_ep_h ep; /* NULL: none */
    int32_t rank;
    uint8_t state;       /* epx_ucx_state */
    bool near;           /* another link serves it */
    bool heard;          /* it has sent something, so it has an endpoint to us */
    bool farewell;       /* it has said that it closes */
    bool failed;         /* by fail(): its chunks are not handed out any more */
    ucs_status_t status; /* why it is broken */
} epx_ucx_peer;

/* A notice under way to several peers. */
typedef struct epx_ucx_told {
    epx_ucx_link *link;
    epx_ucx_header header;
    epx_notice notice;
    int32_t sends; /* not yet over; 0: free */
} epx_ucx_told;

struct epx_ucx_link {
    epx_link head;
    epx_ucx_api api;
    ucp_context_h context;
    ucp_worker_h worker;
    int efd; /* the worker's; never read */
    int32_t size;
    epx_ucx_peer *peers;      /* [size] owns */
    unsigned char *addresses; /* [size * address_bytes] owns */
    size_t address_bytes;
    epx_ucx_header hello, farewell;
    epx_ucx_port *ports;  /* open ones */
    epx_ucx_port *parked; /* closed ones that UCX still uses */
    epx_ucx_ring *due;    /* rings that owe a credit */
    int32_t pending;      /* farewells, flushes and closes of endpoints not yet over */
    bool any_broken;      /* some peer is BROKEN */
    bool closing;
    int32_t *lost; /* [size] queue of lost ranks, each at most once; owns */
    int32_t lost_head, lost_tail;
    epx_notice heard[EPX_UCX_MAX_HEARD];
    uint32_t heard_head, heard_tail;
    epx_ucx_told told[EPX_UCX_MAX_TOLD];
};

/* ---- worker (ucx_worker.c) */

/* Loads UCX and makes context, worker and its descriptor. *address_out is UCX's, to be given back
 * by ucp_worker_release_address. */
EPX_NODISCARD epx_status epx_ucx_start(epx_ucx_link *link, epx_boot *boot, bool tcp_only,
                                       ucp_address_t **address_out, size_t *bytes_out);
/* Undoes it, however far it came. */
void epx_ucx_stop(epx_ucx_link *link);
bool epx_ucx_progress(epx_link *link);
bool epx_ucx_arm(epx_link *link);
int epx_ucx_fds(const epx_link *link, int *fds);
void epx_ucx_woken(epx_link *link);

/* ---- endpoints and faults (ucx_fault.c) */

/* Makes sure that there is an endpoint to rank; false when it has failed: epx_ucx_fail_lost(). */
bool epx_ucx_reach(epx_ucx_link *link, int32_t rank);
/* From a callback or a failed call: an operation with rank ended in status. */
void epx_ucx_note_broken(epx_ucx_link *link, int32_t rank, ucs_status_t status);
/* What arrived from rank is not what was expected there. */
void epx_ucx_note_corrupt(epx_ucx_link *link, int32_t rank, const char *format, ...)
    EPX_PRINTF(3, 4);
void epx_ucx_note_heard(epx_ucx_link *link, const epx_notice *notice);
/* Closes broken endpoints and queues their ranks as lost. Not from callbacks. */
void epx_ucx_bury(epx_ucx_link *link);
bool epx_ucx_has_news(const epx_ucx_link *link);
bool epx_ucx_hear(epx_link *link, epx_notice *notice_out);
void epx_ucx_fail(epx_link *link, int32_t rank);
/* Closes the endpoint at once; what was under way ends with an error. */
void epx_ucx_drop(epx_ucx_peer *peer);
/* PEER_LOST with rank and reason. */
EPX_NODISCARD epx_status epx_ucx_fail_lost(const epx_ucx_peer *peer);

/* ---- active messages (ucx_message.c) */

EPX_NODISCARD epx_status epx_ucx_listen(epx_ucx_link *link);
/* The first message to a peer: connects, so that its end is noticed even if nothing is sent. */
void epx_ucx_send_hello(epx_ucx_peer *peer);
void epx_ucx_send_farewell(epx_ucx_peer *peer);
/* Sends what is owed to the ring's rank, now or as soon as the message before is out. */
void epx_ucx_send_credit(epx_ucx_ring *ring);
/* Sends credits that had to wait. */
void epx_ucx_send_due(epx_ucx_link *link);
void epx_ucx_tell(epx_link *link, const epx_notice *notice);

/* ---- close (ucx_close.c) */

void epx_ucx_close(epx_link *link);

#endif /* EPX_COMM_LINK_UCX_LINK_H */
