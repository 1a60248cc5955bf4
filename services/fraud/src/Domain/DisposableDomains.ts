const domains: ReadonlySet<string> = new Set(
  ("0-mail.com 10minutemail.com 20minutemail.com 33mail.com anonbox.net burnermail.io byom.de deadaddress.com discard.email " +
    "dispostable.com dropmail.me emailondeck.com emailtemporanea.com fakeinbox.com fakemail.net getairmail.com " +
    "getnada.com guerrillamail.biz guerrillamail.com guerrillamail.de guerrillamail.info guerrillamail.net " +
    "guerrillamail.org guerrillamailblock.com harakirimail.com inboxbear.com inboxkitten.com incognitomail.org " +
    "jetable.org mail-temp.com mailcatch.com maildrop.cc mailexpire.com mailforspam.com mailinator.com mailnesia.com " +
    "mailnull.com mailpoof.com mailsac.com mailtemp.info minutemail.com mintemail.com moakt.com mohmal.com mytemp.email " +
    "mytrashmail.com nada.email nowmymail.com one-time.email sharklasers.com spam4.me spambog.com spambox.us " +
    "spamgourmet.com temp-mail.io temp-mail.org tempail.com tempinbox.com tempmail.com tempmail.dev tempmailaddress.com " +
    "tempr.email throwawaymail.com tmail.ws tmpmail.net tmpmail.org trash-mail.com trashmail.com trashmail.de " +
    "trashmail.net wegwerfmail.de yopmail.com yopmail.fr yopmail.net zzrgg.com").split(" ")
)

/** Whether mail to the domain, or to a domain above it, is read by anyone and thrown away. */
export const isDisposable = (domain: string): boolean => {
  const labels = domain.toLowerCase().replace(/\.$/, "").split(".")
  return labels.some((_, index) => domains.has(labels.slice(index).join(".")))
}
