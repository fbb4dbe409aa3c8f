/* exchange.h - dispatch tokens to their experts, combine the experts' outputs.
 *
 * dispatch sends each token once to every rank that holds one of its experts; combine brings back
 * the weighted sum. The sum is one fixed tree, so output bits depend on inputs, on the grouping of
 * ranks into nodes and on the route, and on nothing else:
 *   1 each rank: FP32 sum of w * y over its experts of the token, ascending expert id;
 *   2 each node: FP32 sum of those over its ranks, ascending;
 *   3 one rounding to combine_type per node, the source's own node included;
 *   4 the source: FP32 sum over nodes, ascending, one rounding to combine_type.
 * An expert listed twice by a token counts twice, in the order of its list. */
#ifndef EPX_EXCHANGE_H
#define EPX_EXCHANGE_H

#include <epx/comm.h>
#include <epx/route.h>

EPX_BEGIN_DECLS

#define EPX_MAX_ROW_BYTES 65536

typedef enum epx_type { EPX_TYPE_BF16, EPX_TYPE_F32, EPX_TYPE_F16 } epx_type;

/* Bytes of one element; 0 for an unknown type. */
EPX_API size_t epx_type_size(epx_type type);

typedef enum epx_layout {
    EPX_LAYOUT_TOKEN, /* one row per token and rank, and an index per (token, expert) pair */
    EPX_LAYOUT_EXPERT /* one row per pair, grouped by local slot */
} epx_layout;

typedef enum epx_plan {
    EPX_PLAN_AUTO, /* by predicted time, from totals that all ranks agree on */
    EPX_PLAN_FLAT,
    EPX_PLAN_INTRA_FIRST,
    EPX_PLAN_INTER_FIRST
} epx_plan;

EPX_API const char *epx_plan_name(epx_plan plan);
/* "auto", "flat", ... or EPX_ERR_INVALID with the list. */
EPX_NODISCARD EPX_API epx_status epx_plan_parse(const char *text, epx_plan *plan_out);

/* All fields but `plan`'s default come from the caller and must be equal on all ranks. */
typedef struct epx_exchange_config {
    size_t struct_size;
    uint64_t max_tokens;    /* per rank and dispatch */
    uint32_t max_topk;      /* 1..EPX_MAX_TOPK */
    int32_t num_experts;    /* 1..EPX_MAX_EXPERTS */
    uint32_t row_bytes;     /* opaque payload per token, 1..EPX_MAX_ROW_BYTES */
    uint32_t scale_bytes;   /* opaque scales per token, carried along, 0..EPX_MAX_ROW_BYTES */
    uint32_t combine_type;  /* epx_type of expert outputs and of the combined rows */
    uint32_t combine_elems; /* per row; 0: row_bytes / size of combine_type */
    uint32_t layout;        /* epx_layout */
    uint32_t plan;          /* epx_plan; AUTO: EPX_PLAN, else chosen */
    uint32_t side_channel;  /* non-zero: one float per (token, k) rides along, both ways */
    uint32_t buffers;       /* receive windows in rotation, 0: 2 */
    uint64_t max_recv_rows; /* (token, expert) pairs per rank; 0: 1.25 x max_tokens x max_topk */
} epx_exchange_config;

typedef struct epx_exchange epx_exchange;
typedef struct epx_handle epx_handle;

/* Collective over comm. route NULL: experts in blocks over the ranks; else the exchange keeps a
 * reference. Nothing is allocated afterwards, except by epx_exchange_grow() and when more handles
 * are alive than ever before. */
EPX_NODISCARD EPX_API epx_status epx_exchange_create(epx_comm *comm, const epx_exchange_config *cfg,
                                                     const epx_route *route,
                                                     epx_exchange **exchange_out);
/* Collective. All handles must have been released. Accepts NULL. */
EPX_API void epx_exchange_destroy(epx_exchange *x);

/* Collective, nothing in flight: receive windows for at least max_recv_rows pairs. Contents of the
 * windows are lost; handles stay valid. */
EPX_NODISCARD EPX_API epx_status epx_exchange_grow(epx_exchange *x, uint64_t max_recv_rows);

/* ---- Dispatch ------------------------------------------------------------------------------- */

typedef struct epx_dispatch_in {
    size_t struct_size;
    uint64_t num_tokens;
    uint32_t topk;
    const void *rows;     /* [num_tokens][row_bytes] */
    const void *scales;   /* [num_tokens][scale_bytes], NULL without scales */
    const int32_t *ids;   /* [num_tokens][topk] experts, -1: none */
    const float *weights; /* [num_tokens][topk], NULL: all 1 */
    const float *side;    /* [num_tokens][topk], only with side_channel; NULL: zeros */
} epx_dispatch_in;

/* Everything points into the exchange and is valid until the `buffers`-th next dispatch starts.
 * Pairs are grouped by local slot, inside a slot ordered by (source node, source rank, token). */
typedef struct epx_dispatch_out {
    size_t struct_size;
    uint64_t num_pairs; /* (token, expert) pairs on this rank */
    uint64_t num_rows;  /* token layout: (token, rank) rows; expert layout: num_pairs */
    int32_t num_slots;
    const uint64_t *slot_begin; /* [num_slots + 1] first pair of each local slot */
    const void *rows;           /* [num_rows][row_bytes] */
    const void *scales;         /* [num_rows][scale_bytes] */
    const uint32_t *pair_row;   /* [num_pairs] row of each pair */
    const float *pair_weight;   /* [num_pairs]; combine applies it, do not */
    const float *pair_side;     /* [num_pairs], NULL without side_channel */
    const uint32_t *row_source; /* [num_rows] rank the row came from */
    const uint32_t *row_token;  /* [num_rows] its index there */
    void *outputs; /* [max_recv_rows][combine_elems]: where expert outputs cost no copy */
} epx_dispatch_out;

/* Collective over the exchange's ranks. Returns at once; `in` and its buffers stay untouched until
 * epx_dispatch_finish(). stream is reserved for device exchanges: NULL. One dispatch and one
 * combine may be in flight per exchange. Bad ids or weights are reported by finish, on all ranks.
 * The handle holds one reference for the caller. */
EPX_NODISCARD EPX_API epx_status epx_dispatch_start(epx_exchange *x, const epx_dispatch_in *in,
                                                    void *stream, epx_handle **handle_out);
/* The same routing with other rows: no counting, no agreement. Fields of `in` about routing are
 * ignored (ids, weights, topk); num_tokens must be the handle's. */
EPX_NODISCARD EPX_API epx_status epx_dispatch_again(epx_handle *handle, const epx_dispatch_in *in,
                                                    void *stream);
/* Waits for this rank's rows. EPX_ERR_CAPACITY (on all ranks, nothing moved): grow and repeat. */
EPX_NODISCARD EPX_API epx_status epx_dispatch_finish(epx_handle *handle, epx_dispatch_out *out);

/* ---- Combine -------------------------------------------------------------------------------- */

typedef struct epx_combine_in {
    size_t struct_size;
    const void *outputs; /* [num_pairs][combine_elems], in the order of the dispatch's pairs */
    const float *side;   /* [num_pairs], only with side_channel; NULL: zeros */
} epx_combine_in;

typedef struct epx_combine_out {
    size_t struct_size;
    void *rows;  /* [num_tokens][combine_elems] of combine_type */
    float *side; /* [num_tokens][topk], summed over shards in slot order; NULL: not wanted */
} epx_combine_out;

/* Collective. in.outputs equal to the dispatch's `outputs` costs no copy. Buffers of both stay the
 * library's until epx_combine_finish(). */
EPX_NODISCARD EPX_API epx_status epx_combine_start(epx_handle *handle, const epx_combine_in *in,
                                                   const epx_combine_out *out, void *stream);
EPX_NODISCARD EPX_API epx_status epx_combine_finish(epx_handle *handle);

/* ---- Handles -------------------------------------------------------------------------------- */

/* A handle is what a finished dispatch leaves for combine, backward and recomputation. It is
 * reference counted; released handles are recycled by the exchange. */
EPX_API void epx_handle_retain(epx_handle *handle);
EPX_API void epx_handle_release(epx_handle *handle); /* accepts NULL */
EPX_API uint64_t epx_handle_epoch(const epx_handle *handle);
EPX_API epx_plan epx_handle_plan(const epx_handle *handle); /* what AUTO chose */

typedef struct epx_handle_counts_out {
    size_t struct_size;
    uint64_t num_tokens;
    uint64_t num_pairs;         /* on this rank */
    uint64_t num_rows;          /* on this rank, in the exchange's layout */
    const uint64_t *rank_pairs; /* [world] pairs of every rank: the same on all ranks */
    uint64_t node_rows;         /* (token, remote node) pairs, summed over all ranks */
    uint64_t rank_rows;         /* (token, rank) pairs, summed over all ranks */
    double imbalance;           /* busiest / mean rank, in pairs; 1 is best */
} epx_handle_counts_out;

/* After finish. Valid as long as the handle. */
EPX_NODISCARD EPX_API epx_status epx_handle_counts(const epx_handle *handle,
                                                   epx_handle_counts_out *out);

/* Bytes that this rank has put to other nodes since create, payload and metadata. */
EPX_API uint64_t epx_exchange_net_bytes(const epx_exchange *x);

EPX_END_DECLS

#endif /* EPX_EXCHANGE_H */
