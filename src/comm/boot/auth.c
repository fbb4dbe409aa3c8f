/* auth.c - the few calls of libsodium that the boot needs. */
#include "comm/boot/auth.h"

#include <sodium.h>
#include <string.h>

#include "comm/boot/bytes.h"

_Static_assert(EPX_KEY_BYTES >= crypto_generichash_KEYBYTES_MIN, "key too short for BLAKE2b");
_Static_assert(EPX_KEY_BYTES <= crypto_generichash_KEYBYTES_MAX, "key too long for BLAKE2b");

epx_status epx_auth_init(void)
{
    if (sodium_init() < 0)
        return epx_fail(EPX_ERR_SYSTEM, "libsodium finds no source of random numbers");
    return EPX_OK;
}

void epx_auth_random(void *bytes, size_t n)
{
    randombytes_buf(bytes, n);
}

void epx_auth_wipe(void *bytes, size_t n)
{
    sodium_memzero(bytes, n);
}

static void absorb(crypto_generichash_state *state, const void *bytes, size_t n)
{
    uint8_t length[8];

    epx_put_u64(length, n);
    crypto_generichash_update(state, length, sizeof(length));
    if (n != 0)
        crypto_generichash_update(state, bytes, n);
}

void epx_auth_mac(const uint8_t key[EPX_KEY_BYTES], const char *label, const void *a,
                  size_t a_bytes, const void *b, size_t b_bytes, uint8_t mac_out[EPX_MAC_BYTES])
{
    crypto_generichash_state state;

    crypto_generichash_init(&state, key, EPX_KEY_BYTES, EPX_MAC_BYTES);
    absorb(&state, label, strlen(label));
    absorb(&state, a, a_bytes);
    absorb(&state, b, b_bytes);
    crypto_generichash_final(&state, mac_out, EPX_MAC_BYTES);
    sodium_memzero(&state, sizeof(state));
}

bool epx_auth_equal(const uint8_t a[EPX_MAC_BYTES], const uint8_t b[EPX_MAC_BYTES])
{
    return sodium_memcmp(a, b, EPX_MAC_BYTES) == 0;
}

void epx_auth_job_id(const uint8_t *key, const char *identity, uint8_t id_out[EPX_JOB_ID_BYTES])
{
    static const uint8_t no_key[EPX_KEY_BYTES] = {0};
    uint8_t mac[EPX_MAC_BYTES];

    epx_auth_mac(key != NULL ? key : no_key, "epx job", identity, strlen(identity), NULL, 0, mac);
    memcpy(id_out, mac, EPX_JOB_ID_BYTES);
}
