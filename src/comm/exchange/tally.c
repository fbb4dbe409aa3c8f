/* tally.c - sealing and checking tallies. */
#include "comm/exchange/tally.h"

#include "core/crc32c.h"

#define MAGIC UINT32_C(0x61787065) /* "epxa" */
#define AFTER_CRC offsetof(epx_tally, sequence)

static uint32_t tally_crc(const epx_tally *tally, size_t bytes)
{
    return epx_crc32c(0, (const char *)tally + AFTER_CRC, bytes - AFTER_CRC);
}

void epx_tally_seal(epx_tally *tally, size_t bytes)
{
    tally->magic = MAGIC;
    tally->crc = tally_crc(tally, bytes);
}

epx_status epx_tally_check(const epx_tally *tally, size_t bytes, size_t expected, uint64_t sequence,
                           uint64_t epoch, int32_t from)
{
    if (bytes != expected)
        return epx_fail(EPX_ERR_MISMATCH, "counts from rank %d take %zu bytes, expected %zu", from,
                        bytes, expected);
    if (tally->magic != MAGIC || tally->crc != tally_crc(tally, bytes) || tally->source != from)
        return epx_fail(EPX_ERR_CORRUPT, "counts from rank %d are damaged", from);
    if (tally->sequence != sequence)
        return epx_fail(EPX_ERR_MISMATCH,
                        "rank %d is at dispatch %llu, this rank at %llu: calls in "
                        "another order",
                        from, (unsigned long long)tally->sequence, (unsigned long long)sequence);
    if (tally->epoch != epoch)
        return epx_fail(EPX_ERR_MISMATCH, "rank %d routes by epoch %llu, this rank by %llu", from,
                        (unsigned long long)tally->epoch, (unsigned long long)epoch);
    return EPX_OK;
}
