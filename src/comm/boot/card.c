/* card.c - cards as bytes, and what a gathered set of them says. */
#include "comm/boot/card.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "comm/boot/auth.h"
#include "comm/boot/bytes.h"

#define CARD_MAGIC 0x31647063u /* changes with the layout */

epx_status epx_card_listen(const epx_addr *where, epx_card *card, int *fd_out)
{
    epx_addr addr = *where;
    epx_status st;
    bool in_use;
    int fd;

    epx_addr_set_port(&addr, 0);
    st = epx_addr_listen(&addr, &fd, &in_use);
    if (st != EPX_OK)
        return st;
    st = epx_addr_of_socket(fd, &addr);
    if (st != EPX_OK) {
        close(fd);
        return st;
    }
    epx_addr_number(&addr, card->number, sizeof(card->number));
    card->port = epx_addr_port(&addr);
    *fd_out = fd;
    return EPX_OK;
}

void epx_card_fail(epx_card *card, epx_status st)
{
    card->status = st;
    snprintf(card->text, sizeof(card->text), "%.*s", EPX_CARD_TEXT - 1, epx_last_error());
}

void epx_card_write(const epx_card *card, uint8_t out[EPX_CARD_BYTES])
{
    uint8_t *p = epx_put_u32(out, CARD_MAGIC);

    p = epx_put_u32(p, (uint32_t)card->status);
    p = epx_put_u32(p, card->port);
    p = epx_put_raw(p, card->number, sizeof(card->number));
    p = epx_put_raw(p, card->key, EPX_KEY_BYTES);
    epx_put_raw(p, card->text, EPX_CARD_TEXT);
}

epx_status epx_card_read(const uint8_t in[EPX_CARD_BYTES], int32_t from, epx_card *card_out)
{
    uint32_t magic, port;
    int32_t status;
    epx_card card;
    const uint8_t *p = epx_get_u32(in, &magic);

    if (magic != CARD_MAGIC)
        return epx_fail(EPX_ERR_MISMATCH,
                        "gathered card of rank %d starts with %08x, expected %08x: another version "
                        "of epx, or an allgather that mixes up ranks",
                        from, magic, CARD_MAGIC);
    p = epx_get_u32(epx_get_i32(p, &status), &port);
    p = epx_get_raw(p, card.number, sizeof(card.number));
    p = epx_get_raw(p, card.key, EPX_KEY_BYTES);
    epx_get_raw(p, card.text, EPX_CARD_TEXT);
    card.number[sizeof(card.number) - 1] = '\0';
    card.text[EPX_CARD_TEXT - 1] = '\0';
    card.status = (epx_status)status;
    card.port = (uint16_t)port;
    *card_out = card;
    return EPX_OK;
}

epx_status epx_card_address(const epx_card *card, epx_addr *addr_out)
{
    epx_status st = epx_addr_parse(card->number, addr_out);

    if (st == EPX_OK)
        epx_addr_set_port(addr_out, card->port);
    return st;
}

epx_status epx_cards_check(const uint8_t *all, int32_t count, int32_t mine, const epx_card *own)
{
    epx_card card;
    epx_status st;
    int32_t i;

    if (own->status != EPX_OK)
        return epx_fail(own->status, "%s", own->text);
    for (i = 0; i < count; i++) {
        st = epx_card_read(all + (size_t)i * EPX_CARD_BYTES, i, &card);
        if (st != EPX_OK)
            return st;
        if (i == mine && memcmp(card.key, own->key, EPX_KEY_BYTES) != 0)
            return epx_fail(EPX_ERR_MISMATCH,
                            "allgather put the bytes of another rank in place of "
                            "those of rank %d",
                            mine);
        if (card.status != EPX_OK)
            return epx_fail(EPX_ERR_ABORTED, "rank %d could not prepare: %s", i, card.text);
    }
    return EPX_OK;
}
