/* gather.c - gathers over the star.
 *
 * A guest enters with the size of its contribution, and with the contribution itself when that is
 * small; larger ones follow in pieces when the host, who has entered as well, says go. When all is
 * together the host sends the result in pieces. So nobody has to store what it did not expect, and
 * notices pass between the pieces. After one failed gather there is no other: ranks would no longer
 * agree on their number. */
#include "comm/boot/gather.h"

#include <string.h>

#include "comm/boot/bytes.h"
#include "core/clock.h"
#include "core/size.h"

#define ANSWER_MS 200 /* how long rank 0 may take to say who is missing */

void epx_gather_release(epx_star *star)
{
    star->mine = NULL;
    star->all = NULL;
}

static bool running(const epx_star *star)
{
    return star->gather == EPX_GATHER_COLLECTING || star->gather == EPX_GATHER_SPREADING ||
           star->gather == EPX_GATHER_ASKING;
}

void epx_gather_break(epx_star *star, const epx_report *report)
{
    int32_t i;

    if (!star->broken) {
        star->broken = true;
        star->report = *report;
        star->stir = true;
    }
    if (!running(star))
        return;
    star->gather = EPX_GATHER_FAILED;
    for (i = 0; i < star->num_members; i++) {
        star->members[i].sending = false;
        star->members[i].enter_due = false;
        star->members[i].go_due = false;
    }
    epx_gather_release(star);
}

void epx_gather_break_by(epx_star *star, const epx_member *member)
{
    epx_report report;

    if (member->left)
        epx_report_set(&report, EPX_ERR_PEER_LOST, "rank %d has closed its communicator",
                       member->rank);
    else
        epx_report_set(&report, EPX_ERR_PEER_LOST, "lost rank %d: %s", member->rank, member->why);
    epx_gather_break(star, &report);
}

/* Somebody without whom no further gather can succeed, or NULL. */
const epx_member *epx_gather_gone(const epx_star *star)
{
    int32_t i;

    for (i = 0; i < star->num_members; i++)
        if (star->members[i].lost || star->members[i].left)
            return &star->members[i];
    return NULL;
}

/* ---- at a guest ------------------------------------------------------------------------------ */

bool epx_star_on_go(epx_star *star, epx_member *member, const epx_boot_frame *frame)
{
    uint64_t number;

    if (frame->length != 8)
        return false;
    epx_get_u64(frame->payload, &number);
    if (star->gather == EPX_GATHER_COLLECTING && number == star->number && member->sent == 0 &&
        star->bytes > EPX_EARLY)
        member->sending = true;
    return true;
}

bool epx_star_on_broken(epx_star *star, epx_member *member, const epx_boot_frame *frame)
{
    epx_report report;

    (void)member;
    if (!epx_report_read(frame, &report))
        return false;
    epx_gather_break(star, &report);
    return true;
}

static bool piece_to_guest(epx_star *star, epx_member *member, uint64_t offset, const uint8_t *data,
                           size_t n)
{
    if (star->gather != EPX_GATHER_COLLECTING)
        return star->broken || star->gather == EPX_GATHER_ASKING;
    if (offset != member->got || n > star->total - member->got || (n == 0 && star->total != 0))
        return false;
    if (n != 0)
        memcpy(star->all + member->got, data, n);
    member->got += n;
    if (member->got == star->total) {
        star->gather = EPX_GATHER_DONE;
        epx_gather_release(star);
    }
    return true;
}

static void ask_host(epx_star *star, uint32_t timeout_ms)
{
    epx_member *host = &star->members[0];
    uint8_t question[12];

    star->gather = EPX_GATHER_ASKING;
    star->asked_ns = epx_clock_ns();
    host->enter_due = false;
    host->sending = false;
    epx_gather_release(star);
    epx_put_u32(epx_put_u64(question, star->number), timeout_ms);
    epx_conn_put(&host->conn, EPX_MSG_HOLDUP, question, sizeof(question));
    epx_star_pump(star, host);
}

/* ---- at both --------------------------------------------------------------------------------- */

bool epx_star_on_piece(epx_star *star, epx_member *member, const epx_boot_frame *frame)
{
    uint64_t number, offset;
    const uint8_t *data;
    size_t n;

    if (frame->length < EPX_PIECE_HEAD || frame->length > EPX_PIECE_HEAD + EPX_PIECE)
        return false;
    data = epx_get_u64(epx_get_u64(frame->payload, &number), &offset);
    n = frame->length - EPX_PIECE_HEAD;
    if (number != star->number)
        return star->broken;
    return epx_star_is_host(star) ? epx_collect_piece(star, member, offset, data, n)
                                  : piece_to_guest(star, member, offset, data, n);
}

static void pump_entry(epx_star *star, epx_member *member)
{
    size_t inlined = star->bytes <= EPX_EARLY ? star->bytes : 0;
    uint8_t *p = epx_conn_prepare(&member->conn, EPX_ENTER_HEAD + inlined, 0);

    if (p == NULL)
        return;
    p = epx_put_u64(epx_put_u64(p, star->number), star->bytes);
    if (inlined != 0)
        memcpy(p, star->mine, inlined);
    epx_conn_commit(&member->conn, EPX_MSG_GATHER, (uint32_t)(EPX_ENTER_HEAD + inlined));
    member->enter_due = false;
}

static void pump_pieces(epx_star *star, epx_member *member)
{
    bool host = epx_star_is_host(star);
    const uint8_t *source = host ? star->all : star->mine;
    size_t bytes = host ? star->total : star->bytes, n;
    uint8_t *p;

    while (member->sending) {
        n = bytes - member->sent < EPX_PIECE ? bytes - member->sent : EPX_PIECE;
        p = epx_conn_prepare(&member->conn, EPX_PIECE_HEAD + n, EPX_STAR_SPARE);
        if (p == NULL)
            return;
        p = epx_put_u64(epx_put_u64(p, star->number), member->sent);
        if (n != 0)
            memcpy(p, source + member->sent, n);
        epx_conn_commit(&member->conn, EPX_MSG_PIECE, (uint32_t)(EPX_PIECE_HEAD + n));
        member->sent += n;
        if (member->sent < bytes)
            continue;
        member->sending = false;
        member->served = true;
    }
}

bool epx_star_pump_gather(epx_star *star, epx_member *member)
{
    uint8_t bytes[EPX_REPORT_BYTES];

    if (epx_star_is_host(star) && star->broken && !member->broken_told) {
        epx_report_write(&star->report, bytes);
        member->broken_told = epx_conn_put(&member->conn, EPX_MSG_BROKEN, bytes, sizeof(bytes));
    }
    if (member->go_due) {
        epx_put_u64(bytes, star->number);
        member->go_due = !epx_conn_put(&member->conn, EPX_MSG_GO, bytes, 8);
    }
    if (member->enter_due)
        pump_entry(star, member);
    pump_pieces(star, member);
    return member->sending || member->enter_due || member->go_due;
}

void epx_star_gather_gone(epx_star *star, epx_member *member)
{
    bool next_entered = false;
    int32_t i;

    for (i = 0; i < star->num_members; i++)
        next_entered |= star->members[i].entered > star->number;
    switch (star->gather) {
    case EPX_GATHER_COLLECTING:
    case EPX_GATHER_ASKING:
        epx_gather_break_by(star, member);
        break;
    case EPX_GATHER_SPREADING:
        if (!member->served)
            epx_gather_break_by(star, member);
        break;
    default:
        if (member->lost || next_entered)
            epx_gather_break_by(star, member);
        break;
    }
}

epx_status epx_star_gather_start(epx_boot *boot, const void *mine, size_t bytes, void *all)
{
    epx_star *star = (epx_star *)boot;
    size_t total;
    int32_t i;

    if (star->gather != EPX_GATHER_IDLE)
        return epx_fail(EPX_ERR_BUSY, "an allgather is still under way");
    if (!epx_mul_size(bytes, (size_t)boot->size, &total))
        return epx_fail(EPX_ERR_OVERFLOW, "allgather of %zu bytes from %d ranks", bytes,
                        boot->size);
    if (!star->broken && epx_gather_gone(star) != NULL)
        epx_gather_break_by(star, epx_gather_gone(star));
    if (star->broken) {
        epx_star_pump_all(star);
        return epx_fail(star->report.status, "%s", star->report.text);
    }
    star->gather = EPX_GATHER_COLLECTING;
    star->number++;
    star->bytes = bytes;
    star->total = total;
    star->mine = mine;
    star->all = all;
    if (epx_star_is_host(star) && bytes != 0)
        memmove(all, mine, bytes);
    for (i = 0; i < star->num_members; i++) {
        epx_member *member = &star->members[i];

        member->sent = 0;
        member->enter_due = !epx_star_is_host(star);
        if (member->enter_due)
            member->got = 0;
        else if (i > 0 && member->entered == star->number && !star->broken)
            epx_collect_from(star, member);
    }
    if (epx_star_is_host(star))
        epx_collect_finish(star);
    epx_star_pump_all(star);
    return EPX_OK;
}

bool epx_star_gather_done(epx_boot *boot, epx_status *status_out)
{
    epx_star *star = (epx_star *)boot;
    epx_report report;

    if (star->gather == EPX_GATHER_ASKING &&
        epx_clock_ns() > epx_deadline(star->asked_ns, ANSWER_MS)) {
        epx_report_set(&report, EPX_ERR_TIMEOUT,
                       "rank 0 neither finished an allgather nor said who is missing");
        epx_gather_break(star, &report);
    }
    if (star->gather == EPX_GATHER_SPREADING)
        epx_star_gather_settle(star);
    if (star->gather != EPX_GATHER_DONE && star->gather != EPX_GATHER_FAILED)
        return false;
    *status_out = EPX_OK;
    if (star->gather == EPX_GATHER_FAILED)
        *status_out = epx_fail(star->report.status, "%s", star->report.text);
    star->gather = EPX_GATHER_IDLE;
    return true;
}

void epx_star_gather_cancel(epx_boot *boot, uint32_t timeout_ms)
{
    epx_star *star = (epx_star *)boot;

    if (star->gather != EPX_GATHER_COLLECTING && star->gather != EPX_GATHER_SPREADING)
        return;
    if (epx_star_is_host(star)) {
        epx_collect_expire(star, star->number, timeout_ms);
        epx_star_pump_all(star);
    } else {
        ask_host(star, timeout_ms);
    }
}
