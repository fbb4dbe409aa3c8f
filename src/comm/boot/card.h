/* card.h - what ranks tell each other over somebody else's gather, before they are connected: how
 * their preparations went and, rank 0, where it listens and the key that it drew. */
#ifndef EPX_COMM_BOOT_CARD_H
#define EPX_COMM_BOOT_CARD_H

#include <stdbool.h>
#include <stdint.h>

#include "comm/boot/addr.h"
#include "comm/boot/boot.h"

#define EPX_CARD_TEXT 160
#define EPX_CARD_BYTES (4 + 4 + 4 + 64 + EPX_KEY_BYTES + EPX_CARD_TEXT)

typedef struct epx_card {
    epx_status status; /* of preparing; `text` says why not */
    char number[64];   /* rank 0: its address, without port; else "" */
    uint16_t port;
    uint8_t key[EPX_KEY_BYTES];
    char text[EPX_CARD_TEXT];
} epx_card;

/* Opens the listener that the card of a rank 0 tells of. */
EPX_NODISCARD epx_status epx_card_listen(const epx_addr *where, epx_card *card, int *fd_out);
/* Makes the card tell of a failure: of what epx_last_error() says. */
void epx_card_fail(epx_card *card, epx_status st);

void epx_card_write(const epx_card *card, uint8_t out[EPX_CARD_BYTES]);
/* EPX_ERR_MISMATCH for what is none; `from` names its rank in the sentence. */
EPX_NODISCARD epx_status epx_card_read(const uint8_t in[EPX_CARD_BYTES], int32_t from,
                                       epx_card *card_out);
/* Where the card's rank listens. */
EPX_NODISCARD epx_status epx_card_address(const epx_card *card, epx_addr *addr_out);

/* Reads all[count] cards after a gather in which rank `mine` took part: fails on all ranks alike
 * when one of them is a failure. */
EPX_NODISCARD epx_status epx_cards_check(const uint8_t *all, int32_t count, int32_t mine,
                                         const epx_card *own);

#endif /* EPX_COMM_BOOT_CARD_H */
