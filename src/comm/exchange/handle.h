/* handle.h - what one dispatch knows, in three roles.
 *
 * Source: its tokens' pairs, and its streams (source -> sigma -> rho) with their rows.
 * Relay (rho): the streams that end here, with the place of every pair in the windows of the node.
 * The own node is one more stream, from this rank to itself, without a chunk.
 * Destination: counts. Rows themselves live in the exchange's windows. */
#ifndef EPX_COMM_EXCHANGE_HANDLE_H
#define EPX_COMM_EXCHANGE_HANDLE_H

#include "comm/exchange/plan.h"
#include "comm/exchange/shape.h"

/* One (token, slot) pair of a source, ascending position inside a token. */
typedef struct epx_pair {
    uint32_t position;
    uint32_t index; /* among the source's pairs of that slot */
    uint32_t row;   /* among the source's rows of that rank */
    float weight;
    float side;
    uint32_t entry; /* which of the token's top-k */
} epx_pair;

typedef struct epx_stream_row {
    uint32_t token;
    uint32_t pair; /* first of its pairs */
    uint16_t pairs;
    uint8_t alone; /* flat: the only rank of its node for this token */
} epx_stream_row;

/* Outgoing: rows of this rank for one relay. */
typedef struct epx_stream {
    int32_t rho, sigma;
    int32_t node;
    uint32_t first_row; /* into handle->rows */
    uint32_t num_rows;
    uint32_t first_chunk; /* number of its first chunk among all of this rank */
    uint32_t num_chunks;
} epx_stream;

/* Where a relay put, or finds, one pair. */
typedef struct epx_place {
    uint32_t output; /* index of the expert output at the member */
    uint32_t row;    /* row in the member's receive window */
    float weight;
    uint16_t local; /* member */
    uint16_t unused;
} epx_place;

typedef struct epx_relay_row {
    uint32_t token;
    uint32_t place; /* first into handle->places */
    uint16_t places;
    uint8_t alone;
} epx_relay_row;

/* Incoming: rows of one source that end here. in[0] is the own rank's. */
typedef struct epx_in_stream {
    int32_t source, sigma;
    uint32_t first_row; /* into handle->relay_rows */
    uint32_t num_rows;
    uint32_t num_chunks;
    uint32_t first_return; /* the source's number for chunk 0, learnt from it */
} epx_in_stream;

struct epx_handle {
    epx_exchange *x;
    epx_handle *next; /* in the exchange's list of free ones */
    uint32_t refs;
    bool agreed;       /* counts are known */
    bool dispatched;   /* rows have arrived at least once */
    epx_status status; /* of the dispatch: call-level errors */
    char error[200];
    uint64_t sequence; /* of its latest dispatch */
    uint64_t epoch;
    epx_plan plan;
    uint64_t num_tokens;
    uint32_t topk;

    /* source */
    uint32_t *pair_begin; /* [max_tokens + 1]; owns, as all below */
    epx_pair *pairs;      /* [max_tokens * pairs_per_token] */
    epx_stream *streams;  /* [num_ranks] */
    int32_t num_streams;
    int32_t *stream_to;   /* [num_ranks] by rho: index into streams, -1 */
    epx_stream_row *rows; /* [max rows] */

    /* relay */
    epx_in_stream *in; /* [num_ranks] */
    int32_t num_in;
    int32_t *in_from;          /* [num_ranks] by source: index into in, -1 */
    epx_relay_row *relay_rows; /* reserved; committed as used */
    epx_place *places;
    uint64_t room; /* of both */
    uint64_t num_places;
    uint32_t forward_chunks; /* intra-first: chunks that pass through this rank */

    /* destination */
    uint64_t *rank_pairs; /* [num_ranks] */
    uint64_t *slot_begin; /* [own slots + 1] */
    uint64_t num_pairs, num_rows;
    epx_plan_totals totals;
};

/* Relay rows and places that a handle must be able to hold. */
uint64_t epx_handle_room(const epx_shape *shape);

EPX_NODISCARD epx_status epx_handle_new(epx_exchange *x, const epx_shape *shape,
                                        epx_handle **handle_out);
void epx_handle_free(epx_handle *handle); /* accepts NULL */

#endif /* EPX_COMM_EXCHANGE_HANDLE_H */
