/* notice.c - hearing and telling notices, and turning ends of connections into losses.
 *
 * A loss that the host has seen reaches every guest for certain: each member counts how many of
 * star->lost[] it has been told. Other notices are best effort. */
#include <stdio.h>
#include <string.h>

#include "comm/boot/star.h"
#include "core/log.h"

static bool is_plain(const epx_notice *notice)
{
    return notice->kind != EPX_NOTICE_LOST;
}

/* Losses may use all of the ring, others only their share, so those cannot crowd these out. */
static void keep(epx_star *star, const epx_notice *notice)
{
    int32_t last = (star->heard_first + star->heard_count) % star->heard_room;

    if (star->heard_count == star->heard_room ||
        (is_plain(notice) && star->plain_count == EPX_NOTICES_KEPT)) {
        epx_log(EPX_LOG_DEBUG, "notice of kind %u from rank %d dropped: nobody listens",
                notice->kind, notice->from);
        return;
    }
    star->heard[last] = *notice;
    star->heard_count++;
    star->plain_count += is_plain(notice);
}

bool epx_star_hear(epx_boot *boot, epx_notice *notice_out)
{
    epx_star *star = (epx_star *)boot;

    if (star->heard_count == 0)
        return false;
    *notice_out = star->heard[star->heard_first];
    star->heard_first = (star->heard_first + 1) % star->heard_room;
    star->heard_count--;
    star->plain_count -= is_plain(notice_out);
    return true;
}

static epx_notice loss_of(const epx_star *star, const epx_member *member)
{
    epx_notice notice = {.kind = EPX_NOTICE_LOST,
                         .from = star->boot.rank,
                         .rank = member->rank,
                         .status = EPX_ERR_PEER_LOST};

    snprintf(notice.text, sizeof(notice.text), "rank %d: %s", member->rank, member->why);
    return notice;
}

void epx_star_lose(epx_star *star, epx_member *member, const char *why)
{
    epx_notice notice;

    if (member->lost)
        return;
    member->lost = true;
    epx_conn_close(&member->conn);
    snprintf(member->why, sizeof(member->why), "%s", why);
    notice = loss_of(star, member);
    epx_log(EPX_LOG_INFO, "%s", notice.text);
    keep(star, &notice);
    star->lost[star->num_lost++] = member->rank;
    star->stir = true;
    epx_star_gather_gone(star, member);
}

void epx_star_pump_losses(epx_star *star, epx_member *member)
{
    if (!epx_star_is_host(star))
        return;
    while (member->lost_told < star->num_lost) {
        epx_notice notice = loss_of(star, &star->members[star->lost[member->lost_told]]);
        uint8_t bytes[EPX_NOTICE_BYTES];

        epx_notice_write(&notice, bytes);
        if (!epx_conn_put(&member->conn, EPX_MSG_NOTICE, bytes, sizeof(bytes)))
            return;
        member->lost_told++;
    }
}

static void send_to(epx_star *star, epx_member *member, const epx_notice *notice)
{
    uint8_t bytes[EPX_NOTICE_BYTES];

    if (!epx_member_present(member))
        return;
    epx_notice_write(notice, bytes);
    if (epx_conn_put(&member->conn, EPX_MSG_NOTICE, bytes, sizeof(bytes)))
        epx_star_pump(star, member);
}

bool epx_star_on_notice(epx_star *star, epx_member *member, const epx_boot_frame *frame)
{
    epx_notice notice;
    int32_t i;

    if (!epx_notice_read(frame, star->boot.size, &notice))
        return false;
    if (!epx_star_is_host(star)) {
        keep(star, &notice);
        return true;
    }
    notice.from = member->rank; /* whatever it says */
    if (notice.kind == EPX_NOTICE_VERDICT)
        return true; /* only rank 0 passes verdicts */
    keep(star, &notice);
    for (i = 1; i < star->num_members; i++)
        if (i != member->rank)
            send_to(star, &star->members[i], &notice);
    return true;
}

void epx_star_tell(epx_boot *boot, const epx_notice *notice)
{
    epx_star *star = (epx_star *)boot;
    epx_notice copy = *notice;
    int32_t i;

    copy.text[sizeof(copy.text) - 1] = '\0';
    if (copy.from < 0 || copy.from >= boot->size)
        copy.from = boot->rank;
    if (copy.rank < -1 || copy.rank >= boot->size)
        copy.rank = -1;
    for (i = 0; i < star->num_members; i++)
        send_to(star, &star->members[i], &copy);
}
