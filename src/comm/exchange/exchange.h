/* exchange.h - the inside of an exchange: its ports and windows, and its two operations.
 *
 * A dispatch and a combine may be in flight at once; each is a state machine (a work of the root)
 * with its own port, so neither waits for the other's chunks. */
#ifndef EPX_COMM_EXCHANGE_EXCHANGE_H
#define EPX_COMM_EXCHANGE_EXCHANGE_H

#include <stdatomic.h>

#include "comm/exchange/handle.h"
#include "comm/exchange/plan.h"
#include "comm/exchange/shape.h"
#include "comm/exchange/tally.h"

/* Lanes of port ids: id = exchange << 2 | lane. */
enum { EPX_LANE_AGREE, EPX_LANE_DISPATCH, EPX_LANE_COMBINE, EPX_LANE_HOP };

/* At the head of every member's window: how far it is. Only its owner writes; members read with
 * acquire what the owner stored with release, and are woken by the owner's ring. Each holds the
 * number of the last operation that has reached the point. */
typedef struct epx_control {
    _Alignas(64) atomic_uint_fast64_t agreed;   /* its share of the tallies is in its window */
    _Alignas(64) atomic_uint_fast64_t entered;  /* dispatch: its receive set may be written */
    _Alignas(64) atomic_uint_fast64_t fanned;   /* dispatch: all that it relays is in place */
    _Alignas(64) atomic_uint_fast64_t outputs;  /* combine: its expert outputs may be read */
    _Alignas(64) atomic_uint_fast64_t combined; /* combine: it reads nobody's outputs any more */
    _Alignas(64) atomic_uint_fast64_t moved;    /* grows with its progress: it is alive */
} epx_control;

/* Exchange of tallies: one per rank and dispatch. */
typedef struct epx_agree {
    uint64_t sequence; /* of the one under way or last done */
    bool sent_all, published;
    int32_t next_node; /* to send to */
    bool *have;        /* [num_ranks] tally of source is in our window; own share only */
    int32_t missing;   /* of the own share */
} epx_agree;

typedef enum epx_phase {
    EPX_PHASE_IDLE,
    EPX_PHASE_AGREE,  /* dispatch: tallies */
    EPX_PHASE_ENTER,  /* dispatch again: members have entered; combine: outputs are ready */
    EPX_PHASE_MOVE,   /* chunks */
    EPX_PHASE_SETTLE, /* members finish what concerns this rank */
    EPX_PHASE_DONE
} epx_phase;

typedef struct epx_dispatch_op {
    epx_work work;
    epx_exchange *x;
    epx_handle *h;
    epx_phase phase;
    bool again;
    const unsigned char *rows, *scales;
    uint32_t *sent;        /* [num_ranks] chunks put, by stream; owns */
    uint32_t *received;    /* [num_ranks] chunks placed, by in-stream; owns */
    uint32_t in_left;      /* chunks still to place */
    uint32_t out_left;     /* chunks still to put */
    uint32_t forward_left; /* chunks of others still to pass on */
    int32_t next_stream;   /* round robin */
    uint64_t own_token;    /* next token for the own node */
} epx_dispatch_op;

typedef struct epx_combine_op {
    epx_work work;
    epx_exchange *x;
    epx_handle *h;
    epx_phase phase;
    unsigned char *out_rows;
    float *out_side;
    int32_t output_set;
    uint32_t *reduced;    /* [num_ranks] chunks put back, by in-stream; owns */
    uint32_t *consumed;   /* [num_ranks] rows taken, by stream; owns */
    uint32_t *offset;     /* [num_ranks] bytes read in the current chunk, by stream; owns */
    uint32_t reduce_left; /* chunks still to put */
    uint32_t forward_left;
    int32_t next_in;  /* round robin */
    uint64_t token;   /* next to finish */
    uint32_t own_row; /* relay row of the own stream that belongs to it */
} epx_combine_op;

struct epx_exchange {
    epx_comm *comm;
    epx_root *root;
    epx_shape shape;
    const epx_route *route; /* holds a reference */
    uint32_t id;
    epx_port *agree_port, *dispatch_port, *combine_port, *hop_port; /* NULL when not needed */
    int32_t *far_index;   /* [num_ranks] peer index in the dispatch and combine ports, -1; owns */
    int32_t *agree_index; /* [num_ranks] in the agree port, -1; owns */
    int32_t *hop_index;   /* [members] in the hop port, -1; owns */
    epx_window *window;
    unsigned char **base; /* [members] each member's window, mapped here; owns the table */

    uint64_t dispatches, combines; /* started so far: sequence numbers */
    epx_agree agree;
    epx_dispatch_op dispatch;
    epx_combine_op combine;

    epx_handle *free_handles;
    uint32_t live_handles;

    /* count -> tallies */
    uint32_t *slot_pairs;             /* [num_slots] by position; owns, as all below */
    uint32_t *rank_rows, *first_rows; /* [num_ranks] */
    uint32_t *rank_pairs;             /* [num_ranks] */
    epx_tally *verdict;               /* head of the own tally */
    /* slots: where the next pair or row of (source, slot) or (source, member) goes */
    uint32_t *next_output;  /* [num_ranks * own node's slots] */
    uint32_t *next_row;     /* [num_ranks * members] */
    float *acc, *acc_node;  /* [combine_elems] */
    unsigned char *rounded; /* [combine_elems] of combine_type */
    uint64_t members_seen;  /* progress of the other members, as last looked at */
    uint64_t net_bytes;
};

static inline epx_control *epx_exchange_control(const epx_exchange *x, int32_t local)
{
    return (epx_control *)(void *)(x->base[local] + x->shape.window.control);
}

static inline unsigned char *epx_exchange_set(const epx_exchange *x, int32_t local,
                                              uint64_t dispatch)
{
    return x->base[local] + x->shape.window.sets +
           dispatch % x->shape.cfg.buffers * x->shape.window.set_bytes;
}

static inline unsigned char *epx_exchange_outputs(const epx_exchange *x, int32_t local, int32_t set)
{
    return x->base[local] + x->shape.window.outputs +
           (size_t)set * x->shape.window.output_set_bytes;
}

/* Root rank of a rank of this exchange's communicator. */
static inline int32_t epx_exchange_root_rank(const epx_exchange *x, int32_t rank)
{
    return x->comm->root_rank[rank];
}

/* A member whose counter (its offset in epx_control) has not reached `sequence`; -1: all have. What
 * the members wrote before they reached it is visible then. */
int32_t epx_exchange_late_member(const epx_exchange *x, size_t counter, uint64_t sequence);

/* Wakes all other members of the node. */
void epx_exchange_ring(const epx_exchange *x);

/* With the root's lock: a recycled or new handle with one reference; drops one reference. */
EPX_NODISCARD epx_status epx_exchange_get_handle(epx_exchange *x, epx_handle **handle_out);
void epx_exchange_put_handle(epx_exchange *x, epx_handle *handle);

/* With the lock: what failed is everybody's business; returns false for `return` in a step. */
bool epx_exchange_broken(epx_exchange *x, epx_status status, int32_t rank);

/* Bytes put into a port count when it leads to other nodes. */
void epx_exchange_count_bytes(epx_exchange *x, const epx_port *port, size_t bytes);

/* True if another member has made progress since the last look. */
bool epx_exchange_members_moved(epx_exchange *x);

/* Progress of an operation: its deadline moves on, members see that this rank is alive. */
void epx_exchange_moved(epx_exchange *x, epx_work *work, uint64_t now);

#endif /* EPX_COMM_EXCHANGE_EXCHANGE_H */
