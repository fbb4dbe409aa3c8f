/* collect.c - the host's side of gathers: contributions come in, the result goes out.
 *
 * A gather is over here when the result is with the kernel for every guest that is still there, so
 * rank 0 may turn to something else. */
#include <string.h>

#include "comm/boot/bytes.h"
#include "comm/boot/gather.h"

void epx_collect_from(epx_star *star, epx_member *member)
{
    epx_report report;

    if (member->entered_bytes != star->bytes) {
        epx_report_set(&report, EPX_ERR_MISMATCH,
                       "allgather %llu: rank 0 gives %zu bytes, rank %d gives %llu",
                       (unsigned long long)star->number, star->bytes, member->rank,
                       (unsigned long long)member->entered_bytes);
        epx_gather_break(star, &report);
    } else if (star->bytes > EPX_EARLY) {
        member->go_due = true;
    } else if (star->bytes != 0) {
        memcpy(star->all + (size_t)member->rank * star->bytes, member->early, star->bytes);
        member->got = star->bytes;
    }
}

void epx_collect_finish(epx_star *star)
{
    int32_t i;

    if (star->gather != EPX_GATHER_COLLECTING)
        return;
    for (i = 1; i < star->num_members; i++)
        if (star->members[i].entered != star->number || star->members[i].got != star->bytes)
            return;
    star->gather = EPX_GATHER_SPREADING;
    star->stir = true;
    for (i = 1; i < star->num_members; i++) {
        star->members[i].sending = true;
        star->members[i].sent = 0;
        star->members[i].served = false;
    }
}

void epx_star_gather_settle(epx_star *star)
{
    const epx_member *gone;
    int32_t i;

    if (star->gather != EPX_GATHER_SPREADING)
        return;
    for (i = 1; i < star->num_members; i++) {
        const epx_member *member = &star->members[i];

        if (epx_member_present(member) && (!member->served || epx_conn_pending(&member->conn)))
            return;
    }
    star->gather = EPX_GATHER_DONE;
    epx_gather_release(star);
    gone = epx_gather_gone(star);
    if (gone != NULL && gone->lost)
        epx_gather_break_by(star, gone);
}

bool epx_star_on_gather(epx_star *star, epx_member *member, const epx_boot_frame *frame)
{
    const uint8_t *p = frame->payload;
    uint64_t number, bytes;

    if (frame->length < EPX_ENTER_HEAD)
        return false;
    p = epx_get_u64(epx_get_u64(p, &number), &bytes);
    if (frame->length != EPX_ENTER_HEAD + (bytes <= EPX_EARLY ? bytes : 0))
        return false;
    if (number != member->entered + 1 || number > star->number + 1)
        return star->broken; /* then numbers mean nothing any more */
    member->entered = number;
    member->entered_bytes = bytes;
    member->got = 0; /* `served` still belongs to the gather before */
    if (bytes <= EPX_EARLY)
        memcpy(member->early, p, bytes);
    if (star->gather == EPX_GATHER_COLLECTING && number == star->number) {
        epx_collect_from(star, member);
        epx_collect_finish(star);
    } else if (epx_gather_gone(star) != NULL) {
        epx_gather_break_by(star, epx_gather_gone(star));
    }
    return true;
}

bool epx_collect_piece(epx_star *star, epx_member *member, uint64_t offset, const uint8_t *data,
                       size_t n)
{
    if (star->gather != EPX_GATHER_COLLECTING || member->entered != star->number ||
        star->bytes <= EPX_EARLY)
        return star->broken;
    if (offset != member->got || n == 0 || n > star->bytes - member->got)
        return false;
    memcpy(star->all + (size_t)member->rank * star->bytes + member->got, data, n);
    member->got += n;
    epx_collect_finish(star);
    return true;
}

/* Who has not entered gather `number`. */
void epx_collect_expire(epx_star *star, uint64_t number, uint32_t timeout_ms)
{
    char names[128];
    epx_report report;
    int32_t i;

    star->scratch[0] = star->number < number;
    for (i = 1; i < star->num_members; i++)
        star->scratch[i] = star->members[i].entered < number;
    if (epx_ranks_text(star->scratch, star->boot.size, names, sizeof(names)) == 0)
        epx_report_set(&report, EPX_ERR_TIMEOUT,
                       "an allgather did not get through to all ranks within %u ms", timeout_ms);
    else
        epx_report_set(&report, EPX_ERR_TIMEOUT, "%s did not enter an allgather within %u ms",
                       names, timeout_ms);
    epx_gather_break(star, &report);
}

bool epx_star_on_holdup(epx_star *star, epx_member *member, const epx_boot_frame *frame)
{
    uint32_t timeout_ms;
    uint64_t number;

    (void)member;
    if (frame->length != 12)
        return false;
    epx_get_u32(epx_get_u64(frame->payload, &number), &timeout_ms);
    epx_collect_expire(star, number, timeout_ms);
    return true;
}
