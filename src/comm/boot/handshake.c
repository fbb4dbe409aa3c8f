/* handshake.c - making and checking the three messages of the mutual proof. */
#include "comm/boot/handshake.h"

#include <string.h>

#include "comm/boot/bytes.h"
#include "comm/boot/message.h"

#define SIGNED_BYTES (EPX_CHALLENGE_BYTES - EPX_MAC_BYTES) /* of the challenge, by its own MAC */

static const char host_label[] = "epx boot host";
static const char guest_label[] = "epx boot guest";

static uint8_t *put_opening(uint8_t *p, const epx_ident *self)
{
    const epx_claim *claim = &self->claim;
    uint8_t nonce[EPX_NONCE_BYTES];

    epx_auth_random(nonce, sizeof(nonce));
    p = epx_put_raw(p, self->job_id, EPX_JOB_ID_BYTES);
    p = epx_put_raw(p, nonce, sizeof(nonce));
    p = epx_put_u32(p, (uint32_t)claim->rank);
    p = epx_put_u32(p, (uint32_t)claim->world_size);
    p = epx_put_u32(p, claim->library);
    p = epx_put_u32(p, claim->wire);
    return epx_put_u32(p, claim->keyed ? 1 : 0);
}

static const uint8_t *get_opening(const uint8_t *p, uint8_t job_id[EPX_JOB_ID_BYTES],
                                  epx_claim *claim_out)
{
    uint32_t keyed;

    p = epx_get_raw(p, job_id, EPX_JOB_ID_BYTES) + EPX_NONCE_BYTES;
    p = epx_get_i32(p, &claim_out->rank);
    p = epx_get_i32(p, &claim_out->world_size);
    p = epx_get_u32(p, &claim_out->library);
    p = epx_get_u32(p, &claim_out->wire);
    p = epx_get_u32(p, &keyed);
    claim_out->keyed = keyed != 0;
    return p;
}

void epx_hello_make(const epx_ident *guest, uint8_t hello_out[EPX_HELLO_BYTES])
{
    put_opening(hello_out, guest);
}

epx_status epx_hello_read(const epx_ident *host, const epx_boot_frame *frame, epx_claim *claim_out)
{
    uint8_t job_id[EPX_JOB_ID_BYTES];
    epx_claim claim;

    if (frame->type != EPX_MSG_HELLO || frame->length != EPX_HELLO_BYTES)
        return epx_fail(EPX_ERR_AUTH, "frame type %u of %u bytes instead of a hello", frame->type,
                        frame->length);
    get_opening(frame->payload, job_id, &claim);
    if (memcmp(job_id, host->job_id, sizeof(job_id)) != 0)
        return epx_fail(EPX_ERR_AUTH, "hello of another job, or with another key");
    *claim_out = claim;
    return EPX_OK;
}

void epx_challenge_make(const epx_ident *host, const uint8_t hello[EPX_HELLO_BYTES],
                        uint8_t challenge_out[EPX_CHALLENGE_BYTES])
{
    static const uint8_t no_cookie[EPX_KEY_BYTES] = {0};
    uint8_t *p = put_opening(challenge_out, host);

    p = epx_put_raw(p, host->claim.keyed ? no_cookie : host->key, EPX_KEY_BYTES);
    epx_auth_mac(host->key, host_label, hello, EPX_HELLO_BYTES, challenge_out, SIGNED_BYTES, p);
}

epx_status epx_challenge_answer(epx_ident *guest, const uint8_t hello[EPX_HELLO_BYTES],
                                const epx_boot_frame *frame, epx_claim *claim_out,
                                uint8_t proof_out[EPX_MAC_BYTES])
{
    uint8_t job_id[EPX_JOB_ID_BYTES], key[EPX_KEY_BYTES], mac[EPX_MAC_BYTES];
    const uint8_t *p;
    epx_claim claim;

    if (frame->type != EPX_MSG_CHALLENGE || frame->length != EPX_CHALLENGE_BYTES)
        return epx_fail(EPX_ERR_AUTH, "frame type %u of %u bytes instead of a challenge",
                        frame->type, frame->length);
    p = get_opening(frame->payload, job_id, &claim);
    if (memcmp(job_id, guest->job_id, sizeof(job_id)) != 0 || claim.keyed != guest->claim.keyed)
        return epx_fail(EPX_ERR_AUTH, "challenge of another job, or with another key");
    memcpy(key, guest->claim.keyed ? guest->key : p, sizeof(key));
    p += EPX_KEY_BYTES;
    epx_auth_mac(key, host_label, hello, EPX_HELLO_BYTES, frame->payload, SIGNED_BYTES, mac);
    if (!epx_auth_equal(mac, p))
        return epx_fail(EPX_ERR_AUTH, "challenge without proof of the job key");
    epx_auth_mac(key, guest_label, hello, EPX_HELLO_BYTES, frame->payload, EPX_CHALLENGE_BYTES,
                 proof_out);
    memcpy(guest->key, key, sizeof(key));
    epx_auth_wipe(key, sizeof(key));
    *claim_out = claim;
    return EPX_OK;
}

bool epx_proof_good(const epx_ident *host, const uint8_t hello[EPX_HELLO_BYTES],
                    const uint8_t challenge[EPX_CHALLENGE_BYTES], const epx_boot_frame *frame)
{
    uint8_t mac[EPX_MAC_BYTES];

    if (frame->type != EPX_MSG_PROOF || frame->length != EPX_MAC_BYTES)
        return false;
    epx_auth_mac(host->key, guest_label, hello, EPX_HELLO_BYTES, challenge, EPX_CHALLENGE_BYTES,
                 mac);
    return epx_auth_equal(mac, frame->payload);
}
