/* crosscheck.c - one gather, the same comparison on every rank. */
#include "comm/crosscheck.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"

typedef struct card {
    int32_t status;
    uint32_t count;
    char sentence[160];
    uint64_t values[EPX_FIELDS_MAX];
} card;

static epx_status compare(epx_comm *comm, const char *what, const epx_field *fields, size_t count,
                          const card *cards)
{
    int32_t rank;
    size_t i;

    for (rank = 0; rank < epx_comm_size(comm); rank++)
        if (cards[rank].status != EPX_OK && rank != epx_comm_rank(comm))
            return epx_fail(EPX_ERR_ABORTED, "%s: rank %d failed: %.159s", what, rank,
                            cards[rank].sentence);
    for (rank = 1; rank < epx_comm_size(comm); rank++) {
        if (cards[rank].count != cards[0].count)
            return epx_fail(EPX_ERR_MISMATCH, "%s: rank 0 compares %u fields, rank %d %u", what,
                            cards[0].count, rank, cards[rank].count);
        for (i = 0; i < count; i++)
            if (cards[rank].values[i] != cards[0].values[i])
                return epx_fail(EPX_ERR_MISMATCH, "%s: %s is %llu on rank 0 and %llu on rank %d",
                                what, fields[i].name, (unsigned long long)cards[0].values[i],
                                (unsigned long long)cards[rank].values[i], rank);
    }
    return EPX_OK;
}

epx_status epx_crosscheck(epx_comm *comm, const char *what, epx_status local,
                          const epx_field *fields, size_t count)
{
    card mine = {.status = local, .count = (uint32_t)count};
    char sentence[sizeof(mine.sentence)];
    card *cards;
    epx_status st;
    size_t i;

    snprintf(sentence, sizeof(sentence), "%.*s", (int)sizeof(sentence) - 1, epx_last_error());
    memcpy(mine.sentence, sentence, sizeof(sentence));
    for (i = 0; i < count; i++)
        mine.values[i] = fields[i].value;
    cards = epx_mem_alloc("cross-check", (size_t)epx_comm_size(comm), sizeof(*cards));
    if (cards == NULL) { /* still take part, so that nobody waits: with a smaller gather */
        (void)!epx_comm_allgather(comm, NULL, 0, NULL);
        return EPX_ERR_NO_MEMORY;
    }
    st = epx_comm_allgather(comm, &mine, sizeof(mine), cards);
    if (st == EPX_OK && local != EPX_OK)
        st = epx_fail(local, "%s", sentence);
    else if (st == EPX_OK)
        st = compare(comm, what, fields, count, cards);
    epx_mem_free(cards);
    return st;
}
