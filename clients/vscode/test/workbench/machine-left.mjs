export async function checkMachine() {}
