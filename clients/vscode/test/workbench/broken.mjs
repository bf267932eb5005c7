export async function checkBroken() {}
