/* tally.h - what one rank tells a node before a dispatch: how much of everything it will send.
 *
 * A fixed-size head, then counts: pairs for every rank of the exchange, rows and first rows for
 * every rank of the node, pairs for every slot of the node. A rank whose input is bad sends a tally
 * with that verdict, so that all ranks fail alike instead of waiting. */
#ifndef EPX_COMM_EXCHANGE_TALLY_H
#define EPX_COMM_EXCHANGE_TALLY_H

#include <stddef.h>
#include <stdint.h>

#include "core/fail.h"

typedef struct epx_tally {
    uint32_t magic;
    uint32_t crc; /* of everything after it */
    uint64_t sequence;
    uint64_t epoch; /* of the route */
    int32_t source;
    int32_t status; /* epx_status of the source's input */
    uint64_t num_tokens;
    uint64_t far_node_rows; /* of this source: totals over all nodes, for the plan */
    uint64_t far_rank_rows;
    uint64_t rank_rows;
    char text[104]; /* why status is not EPX_OK */
} epx_tally;

/* Views into the counts that follow the head. */
typedef struct epx_tally_counts {
    uint32_t *rank_pairs; /* [num_ranks] (token, expert) pairs, all ranks */
    uint32_t *rank_rows;  /* [members] (token, rank) rows, ranks of the node */
    uint32_t *first_rows; /* [members] tokens whose first rank on the node it is */
    uint32_t *slot_pairs; /* [slots] pairs, slots of the node */
} epx_tally_counts;

static inline size_t epx_tally_bytes(int32_t num_ranks, int32_t members, int32_t slots)
{
    return sizeof(epx_tally) +
           sizeof(uint32_t) * ((size_t)num_ranks + 2 * (size_t)members + (size_t)slots);
}

static inline epx_tally_counts epx_tally_view(const void *tally, int32_t num_ranks, int32_t members)
{
    uint32_t *first = (uint32_t *)(uintptr_t)((const char *)tally + sizeof(epx_tally));
    epx_tally_counts counts = {.rank_pairs = first,
                               .rank_rows = first + num_ranks,
                               .first_rows = first + num_ranks + members,
                               .slot_pairs = first + num_ranks + 2 * members};

    return counts;
}

void epx_tally_seal(epx_tally *tally, size_t bytes);
/* EPX_ERR_CORRUPT, or EPX_ERR_MISMATCH when it belongs to another operation. */
EPX_NODISCARD epx_status epx_tally_check(const epx_tally *tally, size_t bytes, size_t expected,
                                         uint64_t sequence, uint64_t epoch, int32_t from);

#endif /* EPX_COMM_EXCHANGE_TALLY_H */
