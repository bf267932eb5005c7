// The protocol's types, as the daemon generates them.
export type * from '../../../schemas/protocol';
