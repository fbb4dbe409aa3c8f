/* shape.h - everything about an exchange that follows from its configuration, its route and the
 * grid: slot numbering, sizes of chunks, tallies and windows. Equal on all ranks where it must be;
 * epx_exchange_memory() and epx_exchange_create() both read it, so they cannot disagree.
 *
 * Slots are renumbered as `positions`, ordered by (node, rank, expert): a node's and a rank's slots
 * are ranges, and ascending positions are the order of the combine tree. */
#ifndef EPX_COMM_EXCHANGE_SHAPE_H
#define EPX_COMM_EXCHANGE_SHAPE_H

#include <epx/exchange.h>

#include "comm/communicator.h"
#include "comm/route.h"

#define EPX_PLANS 4 /* indexed by epx_plan; AUTO unused */

/* Byte offsets into each member's window. */
typedef struct epx_window_layout {
    size_t control;
    size_t via;          /* u32 [2][members]: chunks that go through each member, intra-first */
    size_t tallies;      /* [2][num_ranks] of the own node's tally bytes */
    size_t return_flags; /* u32 [return_chunks] */
    size_t return_chunks_at;
    size_t sets;      /* first receive set */
    size_t set_bytes; /* of one */
    size_t rows, scales, pair_row, pair_weight, pair_side, row_source, row_token; /* inside a set */
    size_t outputs; /* first set of expert outputs */
    size_t output_set_bytes;
    size_t output_side; /* inside an output set */
    size_t total;
} epx_window_layout;

typedef struct epx_shape {
    epx_exchange_config cfg; /* defaults filled in */
    const epx_route *route;  /* borrowed */
    const epx_grid *grid;    /* borrowed */
    int32_t rank, node, local, members;
    size_t elem_bytes;        /* of combine_type */
    uint32_t pairs_per_token; /* topk x shards: most pairs of one token */

    int32_t *position_of;   /* [num_slots] route slot -> position; owns, as all below */
    int32_t *position_rank; /* [num_slots] */
    int32_t *node_begin;    /* [num_nodes + 1] first position of each node */
    int32_t *rank_begin;    /* [num_ranks + 1] by place: first position of each rank */
    uint16_t *slot_local;   /* [slots of own node] member that holds it */

    size_t row_max[EPX_PLANS];        /* largest row in a dispatch chunk, metadata included */
    size_t return_row_max[EPX_PLANS]; /* largest row in a combine chunk */
    uint32_t chunk_rows[EPX_PLANS];
    size_t slot_bytes; /* of a chunk, frame included */
    uint32_t depth;
    bool verify;              /* checksum payloads */
    uint64_t return_chunks;   /* intra-first: most chunks that come back through other ranks */
    size_t max_tally_bytes;   /* of any node */
    epx_window_layout window; /* with cfg.max_recv_rows */
} epx_shape;

/* Local. Validates cfg against comm and route. */
EPX_NODISCARD epx_status epx_shape_init(epx_shape *shape, const epx_comm *comm,
                                        const epx_exchange_config *cfg, const epx_route *route);
void epx_shape_close(epx_shape *shape);

/* Recomputes the window for another max_recv_rows. */
EPX_NODISCARD epx_status epx_shape_resize(epx_shape *shape, uint64_t max_recv_rows);

/* Bytes of a tally for a node. */
size_t epx_shape_tally_bytes(const epx_shape *shape, int32_t node);

static inline int32_t epx_shape_slots(const epx_shape *shape, int32_t node)
{
    return shape->node_begin[node + 1] - shape->node_begin[node];
}

/* Whether a plan may be used at all. */
static inline bool epx_shape_allows(const epx_shape *shape, epx_plan plan)
{
    return shape->cfg.plan == EPX_PLAN_AUTO || shape->cfg.plan == (uint32_t)plan;
}

#endif /* EPX_COMM_EXCHANGE_SHAPE_H */
