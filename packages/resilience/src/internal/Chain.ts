/**
 * What a member of a chain lends it.
 */
export interface Member<A> {
  previous: A | undefined
  next: A | undefined
}

/**
 * Objects in order of arrival. Joining and leaving, in the middle too, cost a few assignments and no memory.
 */
export class Chain<A extends Member<A>> {
  #first: A | undefined = undefined
  #last: A | undefined = undefined

  add(member: A): void {
    member.previous = this.#last
    if (this.#last === undefined) this.#first = member
    else this.#last.next = member
    this.#last = member
  }

  /** The member must be in this chain. */
  remove(member: A): void {
    if (member.previous === undefined) this.#first = member.next
    else member.previous.next = member.next
    if (member.next === undefined) this.#last = member.previous
    else member.next.previous = member.previous
    member.previous = undefined
    member.next = undefined
  }

  /** Visits every member; the one visited may leave meanwhile. */
  each(visit: (member: A) => void): void {
    for (let member = this.#first; member !== undefined;) {
      const next: A | undefined = member.next
      visit(member)
      member = next
    }
  }
}
